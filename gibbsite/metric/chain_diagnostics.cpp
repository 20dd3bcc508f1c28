#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/metric/chain_diagnostics.h>
#include <torch/types.h>

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <numeric>
#include <vector>

namespace gibbsite {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

using Chain = std::vector<double>;
using Chains = std::vector<Chain>;  // of equal length

double mean(const Chain& x) { return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size()); }

double variance(const Chain& x) {
  const double centre = mean(x);
  double sum = 0;
  for (const double value : x) sum += (value - centre) * (value - centre);
  return sum / static_cast<double>(x.size() - 1);
}

Chain pooled(const Chains& chains) {
  Chain all;
  for (const Chain& chain : chains) all.insert(all.end(), chain.begin(), chain.end());
  return all;
}

template <class Function>
Chains mapped(const Chains& chains, const Function& function) {
  Chains result = chains;
  for (Chain& chain : result)
    for (double& value : chain) value = function(value);
  return result;
}

bool uninformative(const Chains& chains) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const Chain& chain : chains)
    for (const double value : chain) {
      if (!std::isfinite(value)) return true;
      low = std::min(low, value);
      high = std::max(high, value);
    }
  return high - low < std::numeric_limits<double>::epsilon();
}

Chains halves(const Chains& chains) {
  Chains result;
  for (const Chain& chain : chains) {
    const auto half = static_cast<std::ptrdiff_t>(chain.size() / 2);
    result.emplace_back(chain.begin(), chain.begin() + half);
    result.emplace_back(chain.end() - half, chain.end());
  }
  return result;
}

// Normal scores of the ranks among all draws; equal draws share their mean rank.
Chains normal_scores(const Chains& chains) {
  const Chain all = pooled(chains);
  std::vector<std::size_t> order(all.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return all[a] < all[b]; });
  const boost::math::normal normal;
  Chain scores(all.size());
  for (std::size_t first = 0, last = 0; first < order.size(); first = last) {
    while (last < order.size() && all[order[last]] == all[order[first]]) ++last;
    const double rank = 0.5 * static_cast<double>(first + 1 + last);
    const double score = boost::math::quantile(normal, (rank - 0.375) / (static_cast<double>(all.size()) + 0.25));
    for (std::size_t i = first; i < last; ++i) scores[order[i]] = score;
  }
  Chains result = chains;
  auto next = scores.begin();
  for (Chain& chain : result)
    for (double& value : chain) value = *next++;
  return result;
}

// Linear between order statistics.
double quantile(Chain x, double probability) {
  std::sort(x.begin(), x.end());
  const double index = static_cast<double>(x.size() - 1) * probability + 1;
  const double below = std::floor(index);
  const double low = x[static_cast<std::size_t>(below) - 1];
  if (index == below) return low;
  const double high = x[static_cast<std::size_t>(below)], share = index - below;
  return low == high ? low : (1 - share) * low + share * high;
}

double median(const Chain& x) {
  Chain sorted = x;
  std::sort(sorted.begin(), sorted.end());
  const std::size_t half = sorted.size() / 2;
  return sorted.size() % 2 ? sorted[half] : 0.5 * (sorted[half - 1] + sorted[half]);
}

Chain means(const Chains& chains) {
  Chain result;
  for (const Chain& chain : chains) result.push_back(mean(chain));
  return result;
}

// Of chains that are halves already.
double split_r_hat(const Chains& chains) {
  if (chains[0].size() < 2 || uninformative(chains)) return kNone;
  const auto length = static_cast<double>(chains[0].size());
  const double between = length * variance(means(chains));
  double within = 0;
  for (const Chain& chain : chains) within += variance(chain) / static_cast<double>(chains.size());
  return std::sqrt((between / within + length - 1) / length);
}

// Geyer's initial positive, then monotone sequence of sums of autocorrelations at lags 2k and 2k + 1.
double effective_size(const Chains& chains) {
  const std::size_t length = chains[0].size();
  if (length < 3 || uninformative(chains)) return kNone;
  const auto n = static_cast<double>(length), m = static_cast<double>(chains.size());
  Chains centred;
  for (const Chain& chain : chains) {
    centred.push_back(chain);
    const double centre = mean(chain);
    for (double& value : centred.back()) value -= centre;
  }
  // Lags are computed as they are needed: few are where chains mix.
  const auto covariance = [&](std::size_t lag) {
    double sum = 0;
    for (const Chain& chain : centred)
      sum += std::inner_product(chain.begin() + static_cast<std::ptrdiff_t>(lag), chain.end(), chain.begin(), 0.0);
    return sum / (n * m);
  };
  const double first = covariance(0), within = first * n / (n - 1);
  const double total = first + (chains.size() > 1 ? variance(means(chains)) : 0);
  const auto correlation = [&](std::size_t lag) { return 1 - (within - covariance(lag)) / total; };

  Chain rho(length, 0);
  double even = 1, odd = correlation(1);
  rho[0] = even;
  rho[1] = odd;
  std::size_t last = 0;
  while (last + 5 < length && even + odd > 0) {
    last += 2;
    even = correlation(last);
    odd = correlation(last + 1);
    if (even + odd < 0) continue;
    rho[last] = even;
    rho[last + 1] = odd;
  }
  if (even > 0) rho[last] = even;
  for (std::size_t lag = 2; lag + 2 <= last; lag += 2) {
    const double before = rho[lag - 2] + rho[lag - 1];
    if (rho[lag] + rho[lag + 1] > before) rho[lag] = rho[lag + 1] = before / 2;
  }
  // Where no pair of lags was taken, ρ_0 counts in the sum all the same.
  const auto end = rho.begin() + static_cast<std::ptrdiff_t>(std::max<std::size_t>(last, 1));
  const double time = -1 + 2 * std::accumulate(rho.begin(), end, 0.0) + rho[last];
  // Antithetic chains: no more than N log10 N.
  return n * m / std::max(time, 1 / std::log10(n * m));
}

double quantile_effective_size(const Chains& chains, double probability) {
  if (uninformative(chains)) return kNone;
  const double bound = quantile(pooled(chains), probability);
  return effective_size(halves(mapped(chains, [&](double value) { return value <= bound ? 1.0 : 0.0; })));
}

}  // namespace

ChainDiagnostics diagnose_chains(const Tensor& draws) {
  if (draws.dim() != 2 || draws.size(1) < 1)
    throw RequestError("chains", "expected draws of shape [S, C], got " + format_shape(draws.sizes()));
  ChainDiagnostics found;
  if (draws.size(0) < 4) return found;
  const Tensor columns = draws.detach().to(torch::kDouble).cpu().t().contiguous();
  Chains chains;
  for (std::int64_t c = 0; c < columns.size(0); ++c) {
    const double* begin = columns.data_ptr<double>() + c * columns.size(1);
    chains.emplace_back(begin, begin + columns.size(1));
  }
  if (uninformative(chains)) return found;
  const Chain all = pooled(chains);
  const double centre = mean(all), middle = median(all);

  const Chains scores = normal_scores(halves(chains));
  const double bulk = split_r_hat(scores);
  const double tail =
      split_r_hat(normal_scores(halves(mapped(chains, [&](double value) { return std::abs(value - middle); }))));
  found.r_hat = std::isnan(bulk) || std::isnan(tail) ? kNone : std::max(bulk, tail);
  found.ess_bulk = effective_size(scores);
  const double low = quantile_effective_size(chains, 0.05), high = quantile_effective_size(chains, 0.95);
  found.ess_tail = std::isnan(low) || std::isnan(high) ? kNone : std::min(low, high);
  found.ess_mean = effective_size(halves(chains));
  found.mcse_mean = std::sqrt(variance(all) / found.ess_mean);

  // The delta method for the standard deviation, with the sample size of the squares.
  const Chains squares = mapped(chains, [&](double value) { return (value - centre) * (value - centre); });
  double second = 0, fourth = 0;
  for (const double square : pooled(squares)) {
    second += square / static_cast<double>(all.size());
    fourth += square * square / static_cast<double>(all.size());
  }
  found.mcse_sd = std::sqrt((fourth - second * second) / effective_size(halves(squares)) / second / 4);
  return found;
}

}  // namespace gibbsite
