#include <gibbsite/sampler/hmc.h>
#include <gibbsite/sampler/metropolis.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

Tensor kinetic(const Manifold* manifold, const Tensor& x, const Tensor& momentum) {
  return 0.5 * (manifold ? manifold->inner(x, momentum, momentum) : sum_event(momentum.square()));
}

}  // namespace

Hmc::Hmc(const HmcOptions& options) : SteppingKernel(options, "hmc") {}

Step Hmc::step(const Target& target, const Tensor& x, Rng& rng, Graph graph, const Step* previous) const {
  refuse_graph(graph, "hmc");
  torch::NoGradGuard no_graph;
  const Tensor from = x.detach();
  const EnergyScore at_x = energy_and_score(target, x, previous, "hmc");
  const Manifold* manifold = target.manifold.get();
  const Tensor momentum = manifold ? manifold->tangent_noise(from, rng) : rng.normal(x.sizes(), from);
  Tensor step_size;
  if (options_.jitter > 0) {
    Shape rows(static_cast<std::size_t>(x.dim()), 1);
    rows[0] = x.size(0);
    const double spread = 2 * options_.jitter * options_.step_size;
    step_size = rng.uniform({x.size(0)}, from).sub_(0.5).mul_(spread).add_(options_.step_size).view(rows);
  } else {
    step_size = torch::scalar_tensor(options_.step_size, from.options());
  }
  const Phase end = leapfrog(target, {from, momentum, at_x.energy, at_x.score}, step_size, options_.leapfrog_steps);
  const Tensor log_ratio =
      (at_x.energy - end.energy).add_(kinetic(manifold, from, momentum)).sub_(kinetic(manifold, end.x, end.momentum));
  Step step = accept_or_stay(from, at_x, end.x, {end.energy, end.score}, log_ratio, rng);
  step.noise = momentum;
  return step;
}

Phase leapfrog(const Target& target, const Phase& start, const Tensor& step_size, std::int64_t steps) {
  torch::NoGradGuard no_graph;
  const Tensor half = step_size * 0.5;
  Phase now{start.x.detach().clone(), (start.score * half).add_(start.momentum), start.energy, start.score};
  for (std::int64_t k = 1; k <= steps; ++k) {
    if (target.manifold) {
      const Geodesic moved = target.manifold->flow(now.x, now.momentum * step_size);
      now.x = moved.x;
      now.momentum = moved.v / step_size;
    } else {
      now.x.add_(now.momentum * step_size);
    }
    if (k < steps) {
      now.score = score_of(target, now.x);
      now.momentum.add_(now.score * step_size);
    } else {
      const EnergyScore end = energy_and_score(target, now.x, "hmc");
      now.energy = end.energy;
      now.score = end.score;
      now.momentum.add_(now.score * half);
    }
  }
  return now;
}

}  // namespace gibbsite
