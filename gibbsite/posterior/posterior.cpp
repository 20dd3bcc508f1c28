#include <gibbsite/core/error.h>
#include <gibbsite/posterior/posterior.h>
#include <torch/types.h>

namespace gibbsite {

Tensor Posterior::log_prob(const Tensor&, const Tensor&) const {
  throw RequestError("posterior", "its density has no formula", "a Gaussian posterior has one");
}

PosteriorMoments posterior_moments(const Posterior& posterior, const Tensor& v, std::int64_t draws, Rng& rng) {
  const torch::NoGradGuard no_graph;
  if (std::optional<PosteriorMoments> known = posterior.moments(v)) return *known;
  const Tensor h = posterior.sample(v, draws, rng);
  return {h.mean(0), h.var(0, /*unbiased=*/false)};
}

std::unique_ptr<Posterior> Posterior::with(const NamedTensors&) const {
  throw RequestError("posterior", "it is no function of its parameters", "a Bernoulli or Gaussian posterior is");
}

}  // namespace gibbsite
