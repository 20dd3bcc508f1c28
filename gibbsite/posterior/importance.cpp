#include <gibbsite/posterior/importance.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {

double SumoOptions::tail(std::int64_t k) const {
  if (k < knee) return 1 / static_cast<double>(k);
  return std::pow(decay, static_cast<double>(k - knee)) / static_cast<double>(knee);
}

Tensor importance_log_weights(const LatentEnergy& joint, const Posterior& posterior, const Tensor& v,
                              std::int64_t draws, Rng& rng) {
  const DrawWithLogProb drawn = posterior.sample_with_log_prob(v, draws, rng);
  return -joint.joint(v, drawn.h) - drawn.log_prob;
}

Tensor iwae_bounds(const Tensor& log_weights) {
  const Tensor counts = at::arange(1, log_weights.size(0) + 1, log_weights.options().requires_grad(false));
  return log_weights.logcumsumexp(0) - counts.log().unsqueeze(1);
}

Tensor draw_terms(const SumoOptions& options, std::int64_t rows, Rng& rng) {
  const auto knee = static_cast<double>(options.knee);
  // K is the largest k whose tail is not below u.
  const Tensor u = rng.uniform({rows}, at::kDouble);
  const Tensor beyond = knee + ((u * knee).log() / std::log(options.decay)).floor();
  return at::where(u * knee > 1, u.reciprocal().floor(), beyond).to(at::kLong);
}

Tensor sumo(const LatentEnergy& joint, const Posterior& posterior, const Tensor& v, const SumoOptions& options,
            const Rng& rng) {
  Rng of_terms = rng.stream("terms"), of_draws = rng.stream("draws");
  const Tensor terms = draw_terms(options, v.size(0), of_terms).to(v.device());
  const std::int64_t most = terms.max().item<std::int64_t>();
  const Tensor bounds = iwae_bounds(importance_log_weights(joint, posterior, v, most + 1, of_draws));
  std::vector<double> inverse_tails;
  for (std::int64_t k = 1; k <= most; ++k) inverse_tails.push_back(1 / options.tail(k));
  const Tensor scale = torch::tensor(inverse_tails, at::kDouble).to(bounds.options().requires_grad(false)).unsqueeze(1);
  const Tensor counts = at::arange(1, most + 1, terms.options()).unsqueeze(1).le(terms);
  const Tensor steps = (bounds.narrow(0, 1, most) - bounds.narrow(0, 0, most)) * scale;
  return bounds.select(0, 0) + at::where(counts, steps, at::zeros_like(steps)).sum(0);
}

}  // namespace gibbsite
