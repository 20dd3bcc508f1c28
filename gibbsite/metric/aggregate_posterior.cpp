#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/metric/aggregate_posterior.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace gibbsite {
namespace {

constexpr std::int64_t kRows = 50;  // draws at a time, each at every point

}  // namespace

AggregatePosterior aggregate_posterior(const Posterior& posterior,
                                       const std::function<Tensor(const Tensor& z)>& log_prior, const Tensor& x,
                                       std::int64_t population, const AggregateOptions& options, const Rng& rng,
                                       const Ports& ports) {
  if (!posterior.has_log_prob()) throw RequestError("aggregate posterior", "the encoder's law has no density formula");
  const std::int64_t size = options.batch_size;
  if (x.size(0) < size)
    throw RequestError("aggregate posterior", fmt::format("{} points are fewer than a batch of {}", x.size(0), size));
  const torch::NoGradGuard no_grad;
  const Tensor order = rng.stream("order").permutation(x.size(0));
  const std::int64_t different = x.size(0) / size;
  const auto n = static_cast<double>(population), b = static_cast<double>(size);
  std::vector<double> divergence, information, plain, posterior_divergence;
  for (std::int64_t k = 0; k < options.batches; ++k) {
    if (ports.interrupt->requested()) throw Interrupted("aggregate posterior", "stopped between batches");
    const Tensor v = x.index_select(0, order.narrow(0, k % different * size, size).to(x.device()));
    Rng own = rng.at_step(static_cast<std::uint64_t>(k));
    const Tensor z = posterior.sample(v, 1, own)[0];  // [B, K]
    std::vector<Tensor> rows;
    for (std::int64_t first = 0; first < size; first += kRows) {
      const Tensor some = z.narrow(0, first, std::min(kRows, size - first));
      rows.push_back(posterior.log_prob(v, some.unsqueeze(1).expand({-1, size, -1})).to(torch::kDouble));
    }
    const Tensor all = torch::cat(rows);  // [draw, point]
    const Tensor own_density = all.diagonal().clone();
    Tensor others = all.clone();
    others.fill_diagonal_(-std::numeric_limits<double>::infinity());
    const Tensor rest = others.logsumexp(1);
    const Tensor weighted = torch::logaddexp(own_density - std::log(n), rest + std::log((n - 1) / (n * (b - 1))));
    const Tensor bias = log_prior(z.unsqueeze(0))[0].to(torch::kDouble);
    divergence.push_back((weighted - bias).mean().item<double>());
    information.push_back((own_density - weighted).mean().item<double>());
    plain.push_back((own_density - all.logsumexp(1) + std::log(b)).mean().item<double>());
    posterior_divergence.push_back((own_density - bias).mean().item<double>());
    ports.logger->progress(fmt::format("batch {} of {}", k + 1, options.batches),
                           static_cast<double>(k + 1) / static_cast<double>(options.batches));
  }
  const auto estimate = [](const std::vector<double>& values) {
    return mean_estimate(torch::tensor(values, torch::kDouble));
  };
  return {estimate(divergence), estimate(information), estimate(plain), estimate(posterior_divergence)};
}

}  // namespace gibbsite
