// The Metropolis-adjusted Langevin algorithm (Roberts and Tweedie 1996).
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/sampler/stepping_kernel.h>

namespace gibbsite {

struct MalaOptions {
  double step_size = 0.01;

  void declare(OptionVisitor& o) {
    o.option("step_size", step_size, "η in the proposal x − (η/2)∇E + √η·ω", positive());
  }
};

/// Proposes a Langevin step and accepts it by Metropolis and Hastings. One evaluation of energy and score per step when
/// `previous` is given. A proposal whose energy or score is not a number is rejected. Acceptance differences energies:
/// in float32 its error is about 1e-7 |E|, so energies beyond 1e5 need float64. The adaptation target is 0.574. On a manifold
/// a proposal that goes as far as the injectivity radius is rejected, so that one geodesic leads to it.
class Mala : public SteppingKernel<Mala, MalaOptions> {
 public:
  explicit Mala(const MalaOptions& options);
  Step step(const Target& target, const Tensor& x, Rng& rng, Graph graph = Graph::kDetach,
            const Step* previous = nullptr) const override;
  double target_acceptance() const override { return 0.574; }
};

/// log q(y | x), [B]: the density of N(x + (step_size/2) score_x, step_size I) at y, normalised.
Tensor mala_log_proposal(const Tensor& y, const Tensor& x, const Tensor& score_x, double step_size);

/// log of the acceptance ratio π(y) q(x | y) / (π(x) q(y | x)), [B], before it is cut at 0.
Tensor mala_log_ratio(const Tensor& x, const EnergyScore& at_x, const Tensor& y, const EnergyScore& at_y,
                      double step_size);

/// The same on a manifold, where y is exp(x, ·) of a normal vector and exp's volume factors, alike from both ends, cancel;
/// minus infinity where y is as far as the injectivity radius.
Tensor mala_log_ratio(const Manifold& manifold, const Tensor& x, const EnergyScore& at_x, const Tensor& y,
                      const EnergyScore& at_y, double step_size);

}  // namespace gibbsite
