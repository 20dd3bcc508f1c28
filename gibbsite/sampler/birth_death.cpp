#include <gibbsite/core/error.h>
#include <gibbsite/sampler/birth_death.h>
#include <gibbsite/sampler/langevin.h>
#include <gibbsite/sampler/stein.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {

Tensor birth_death_weights(const Tensor& log_density, const Tensor& energy, double time) {
  const Tensor rate = log_density + energy;
  return (1 - time * (rate - rate.mean())).clamp_min(0);
}

Tensor systematic_resampling(const Tensor& weights, double uniform) {
  const std::int64_t n = weights.size(0);
  const Tensor ends = (weights.to(torch::kDouble) / weights.to(torch::kDouble).mean()).cumsum(0);
  const Tensor combs = torch::arange(n, ends.options()) + uniform;
  return torch::searchsorted(ends, combs).clamp_max(n - 1);
}

BirthDeath::BirthDeath(const BirthDeathOptions& options) : SteppingKernel(options, "birth_death") {}

Step BirthDeath::step(const Target& target, const Tensor& x, Rng& rng, Graph graph, const Step* previous) const {
  if (graph == Graph::kKeep)
    throw RequestError("birth_death", "the graph cannot be kept through births and deaths", "use the weights");
  torch::NoGradGuard no_graph;
  LangevinOptions diffusion;
  diffusion.step_size = options_.step_size;
  const Tensor from = x.detach();
  const EnergyScore at = energy_and_score(target, x, previous, "birth_death");
  const double bandwidth = bandwidth_or_median(options_.bandwidth, from);
  const Tensor weights = birth_death_weights(log_kernel_density(from, bandwidth, target.manifold.get()), at.energy,
                                             options_.step_size / 2);
  Target known;
  known.manifold = target.manifold;
  known.score = [&](const Tensor&) { return at.score; };
  const Step moved = Langevin(diffusion).step(known, from, rng);
  const double uniform = rng.uniform({1}, torch::kDouble).item<double>();
  const Tensor kept = systematic_resampling(weights, uniform).to(from.device());
  Step step;
  step.x = moved.x.index_select(0, kept);
  step.noise = moved.noise.index_select(0, kept);
  return step;
}

}  // namespace gibbsite
