// Hamiltonian Monte Carlo with identity mass (Duane et al. 1987; Neal 2011), on manifolds along geodesics (Byrne and
// Girolami 2013).
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/sampler/stepping_kernel.h>

namespace gibbsite {

struct HmcOptions {
  double step_size = 0.1;
  std::int64_t leapfrog_steps = 10;
  double jitter = 0;

  void declare(OptionVisitor& o) {
    o.option("step_size", step_size, "ε of a leapfrog step; one leapfrog step is MALA with η = ε²", positive());
    o.option("leapfrog_steps", leapfrog_steps, "leapfrog steps per transition", at_least(1));
    o.option("jitter", jitter,
             "ε is multiplied by a uniform number in [1 − jitter, 1 + jitter], one per chain and transition",
             Range{0, 1, false, true});
  }
};

/// Draws a momentum, follows it by leapfrog steps and accepts by the change of the Hamiltonian. `leapfrog_steps`
/// evaluations of the score per step, the last together with the energy, when `previous` is given. Step::noise is the
/// momentum drawn. A trajectory that ends in a number that is not one is rejected. The adaptation target is 0.8.
class Hmc : public SteppingKernel<Hmc, HmcOptions> {
 public:
  explicit Hmc(const HmcOptions& options);
  Step step(const Target& target, const Tensor& x, Rng& rng, Graph graph = Graph::kDetach,
            const Step* previous = nullptr) const override;
  double target_acceptance() const override { return 0.8; }
};

struct Phase {
  Tensor x;         ///< [B, *event]
  Tensor momentum;  ///< [B, *event]
  Tensor energy;    ///< [B] at x
  Tensor score;     ///< [B, *event] at x
};

/// `steps` leapfrog steps from (start.x, start.momentum) with start.score; start.energy is not read and may be
/// undefined. `step_size` is 0-dim or broadcasts over x. On a manifold momenta are tangent and positions follow geodesics,
/// which carry the momentum along. Reversible: from (x, −momentum) it leads back.
Phase leapfrog(const Target& target, const Phase& start, const Tensor& step_size, std::int64_t steps);

}  // namespace gibbsite
