#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <gibbsite/sampler/langevin.h>
#include <gibbsite/sampler/mala.h>
#include <gibbsite/sampler/metropolis.h>
#include <gibbsite/sampler/plain.h>
#include <torch/types.h>

#include <cmath>
#include <limits>

namespace gibbsite {
namespace {

template <class T>
void log_ratio(const Tensor& x, const EnergyScore& at_x, const Tensor& y, const EnergyScore& at_y, double step_size,
               Tensor& out) {
  const std::int64_t rows = x.size(0), width = rows > 0 ? x.numel() / rows : 0;
  const T *from = x.data_ptr<T>(), *score = at_x.score.data_ptr<T>(), *energy = at_x.energy.data_ptr<T>();
  const T *to = y.data_ptr<T>(), *new_score = at_y.score.data_ptr<T>(), *new_energy = at_y.energy.data_ptr<T>();
  T* result = out.data_ptr<T>();
  const T quarter = static_cast<T>(step_size / 4);
  at::parallel_for(0, rows, (1 << 15) / (width + 1) + 1, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      double sum = 0;
      for (std::int64_t i = r * width; i < (r + 1) * width; ++i)
        sum +=
            static_cast<double>((score[i] + new_score[i]) * ((to[i] - from[i]) + quarter * (new_score[i] - score[i])));
      result[r] = (energy[r] - new_energy[r]) - static_cast<T>(0.5 * sum);
    }
  });
}

}  // namespace

Mala::Mala(const MalaOptions& options) : SteppingKernel(options, "mala") {}

Step Mala::step(const Target& target, const Tensor& x, Rng& rng, Graph graph, const Step* previous) const {
  refuse_graph(graph, "mala");
  torch::NoGradGuard no_graph;
  const Tensor from = x.detach();
  const EnergyScore at_x = energy_and_score(target, x, previous, "mala");
  const Manifold* manifold = target.manifold.get();
  const Tensor noise =
      (manifold ? manifold->tangent_noise(from, rng) : rng.normal(x.sizes(), from)).mul_(std::sqrt(options_.step_size));
  const Tensor proposal = langevin_update(from, at_x.score, noise, options_.step_size, manifold);
  const EnergyScore at_proposal = energy_and_score(target, proposal, "mala");
  Tensor log_ratio;
  if (manifold) {
    const Tensor v = at_x.score * (options_.step_size / 2) + noise;
    const Tensor far = manifold->inner(from, v, v).sqrt() >= manifold->injectivity_radius();
    log_ratio = mala_log_ratio(*manifold, from, at_x, proposal, at_proposal, options_.step_size)
                    .masked_fill(far, -std::numeric_limits<double>::infinity());
  } else {
    log_ratio = mala_log_ratio(from, at_x, proposal, at_proposal, options_.step_size);
  }
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
  const auto simple = [&](const Tensor& t) { return plain(t, x) && !t.requires_grad(); };
  if (simple(x) && simple(y) && simple(at_x.energy) && simple(at_x.score) && simple(at_y.energy) &&
      simple(at_y.score)) {
    Tensor out = torch::empty_like(at_x.energy);
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "mala_log_ratio",
                               [&] { log_ratio<scalar_t>(x, at_x, y, at_y, step_size, out); });
    return out;
  }
  const Tensor displacement = (at_y.score - at_x.score).mul_(step_size / 4).add_(y - x);
  return (at_x.energy - at_y.energy).sub_(sum_event(displacement.mul_(at_x.score + at_y.score)).mul_(0.5));
}

Tensor mala_log_ratio(const Manifold& manifold, const Tensor& x, const EnergyScore& at_x, const Tensor& y,
                      const EnergyScore& at_y, double step_size) {
  // |log_x y| = |log_y x|, so the squares of the displacements cancel.
  const Tensor along = manifold.inner(x, at_x.score, manifold.log(x, y));
  const Tensor back = manifold.inner(y, at_y.score, manifold.log(y, x));
  const Tensor norms = manifold.inner(x, at_x.score, at_x.score) - manifold.inner(y, at_y.score, at_y.score);
  const Tensor ratio = (at_x.energy - at_y.energy) + 0.5 * (back - along) + (step_size / 8) * norms;
  return ratio.masked_fill(manifold.distance(x, y) >= manifold.injectivity_radius(),
                           -std::numeric_limits<double>::infinity());
}

}  // namespace gibbsite
