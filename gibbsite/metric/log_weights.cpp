#include <gibbsite/core/error.h>
#include <gibbsite/metric/log_weights.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace gibbsite {

LogMean log_mean_weight(const Tensor& log_weights) {
  const Tensor w = log_weights.detach().to(torch::kCPU, torch::kDouble).flatten();
  if (w.numel() == 0) throw WorkError("log weights", "there are none");
  const auto largest = w.max().item<double>();
  if (std::isnan(largest) || largest == INFINITY) throw WorkError("log weights", "one is not a number");
  LogMean result;
  result.log_mean.count = w.numel();
  if (largest == -INFINITY) {
    result.log_mean.value = largest;
    return result;
  }
  const Tensor relative = (w - largest).exp();
  const auto n = static_cast<double>(w.numel());
  const auto sum = relative.sum().item<double>(), squares = relative.square().sum().item<double>();
  result.log_mean.value = largest + std::log(sum / n);
  result.effective = sum * sum / squares;
  if (n > 1) {
    const double variance = (squares / n - (sum / n) * (sum / n)) * n / (n - 1);
    result.log_mean.standard_error = std::sqrt(std::max(variance, 0.0) / n) / (sum / n);
  }
  return result;
}

LogMean importance_log_z(const EnergyFn& energy, const Proposal& proposal, std::int64_t samples, const Rng& rng,
                         std::int64_t block) {
  const torch::NoGradGuard no_grad;
  std::vector<Tensor> parts;
  for (std::int64_t first = 0; first < samples; first += block) {
    Rng own = rng.at_row(rng.first_row() + first);
    const Tensor x = proposal.sample(std::min(block, samples - first), own);
    parts.push_back(-energy(x).to(torch::kDouble) - proposal.log_density(x).to(torch::kDouble));
  }
  return log_mean_weight(torch::cat(parts));
}

Proposal gaussian_proposal(std::int64_t d, double deviation, const Tensor& like) {
  const double constant = -0.5 * static_cast<double>(d) * std::log(2 * M_PI * deviation * deviation);
  return {[=](std::int64_t rows, Rng& rng) {
            return deviation * rng.normal({rows, d}, like);
          },
          [=](const Tensor& x) { return constant - sum_event(x.square()) / (2 * deviation * deviation); }};
}

}  // namespace gibbsite
