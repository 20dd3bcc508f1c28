#include <gibbsite/objective/entropy.h>
#include <torch/types.h>

namespace gibbsite {

EntropyScore network_entropy_score(const LatentScore& network) {
  return [&network](const Tensor& v, const Tensor& h, Rng& rng) {
    const torch::NoGradGuard no_grad;
    return network.given(v)->at(h.detach().flatten(0, 1), rng).value.view(h.sizes());
  };
}

EntropyScore kernel_entropy_score(const ScoreEstimator& estimator, bool aggregate) {
  return [&estimator, aggregate](const Tensor&, const Tensor& h, Rng&) {
    const Tensor codes = h.detach();
    if (aggregate) return estimator.at(codes.flatten(0, 1)).view(h.sizes());
    return estimator.at(codes.transpose(0, 1)).transpose(0, 1);
  };
}

Tensor negative_entropy_surrogate(const Tensor& h, const Tensor& score) { return (score.detach() * h).sum(-1); }

}  // namespace gibbsite
