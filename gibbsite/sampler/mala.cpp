#include <gibbsite/sampler/langevin.h>
#include <gibbsite/sampler/mala.h>
#include <gibbsite/sampler/metropolis.h>
#include <gibbsite/sampler/validated.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {

Mala::Mala(const MalaOptions& options) : options_(validated(options, "mala")) {}

std::shared_ptr<const Kernel> Mala::with_step_size(double step_size) const {
  MalaOptions options = options_;
  options.step_size = step_size;
  return std::make_shared<Mala>(options);
}

Step Mala::step(const Target& target, const Tensor& x, Rng& rng, Graph graph, const Step* previous) const {
  refuse_graph(graph, "mala");
  torch::NoGradGuard no_graph;
  const Tensor from = x.detach();
  const EnergyScore at_x = energy_and_score(target, x, previous, "mala");
  const Tensor noise = rng.normal(x.sizes(), from).mul_(std::sqrt(options_.step_size));
  const Tensor proposal = langevin_update(from, at_x.score, noise, options_.step_size);
  const EnergyScore at_proposal = energy_and_score(target, proposal, "mala");
  const Tensor log_ratio = mala_log_ratio(from, at_x, proposal, at_proposal, options_.step_size);
  Step step = accept_or_stay(from, at_x, proposal, at_proposal, log_ratio, rng);
  step.noise = noise;
  return step;
}

Tensor mala_log_proposal(const Tensor& y, const Tensor& x, const Tensor& score_x, double step_size) {
  const double log_normaliser = 0.5 * static_cast<double>(event_size(event_shape(x))) * std::log(2 * M_PI * step_size);
  return sum_event((y - x - score_x * (step_size / 2)).square()) * (-0.5 / step_size) - log_normaliser;
}

// With d = y − x and s, s' the scores at x and y, log q(x|y) − log q(y|x)
//   = −(‖d + (η/2)s'‖² − ‖d − (η/2)s‖²) / 2η = −½ ⟨s + s', d + (η/4)(s' − s)⟩,
// which subtracts no nearly equal squares and changes only its sign when x and y change places.
Tensor mala_log_ratio(const Tensor& x, const EnergyScore& at_x, const Tensor& y, const EnergyScore& at_y,
                      double step_size) {
  const Tensor displacement = (at_y.score - at_x.score).mul_(step_size / 4).add_(y - x);
  return (at_x.energy - at_y.energy).sub_(sum_event(displacement.mul_(at_x.score + at_y.score)).mul_(0.5));
}

}  // namespace gibbsite
