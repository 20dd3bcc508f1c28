// Langevin steps that move draws of q(h | v) towards p(h | v) (VaGES, Eq. 11; protocol sheet 2.6):
//
//   h <- h - (α/2) ∇_h E(v, h) + σ ε,   ε ~ N(0, I)
//
// σ is not √α, and there is no acceptance test.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/model/latent_energy.h>
#include <gibbsite/posterior/posterior.h>

namespace gibbsite {

struct CorrectorOptions {
  double step_size = 1e-2;
  double noise = 1e-4;
  std::int64_t steps = 5;
  void declare(OptionVisitor& o) {
    o.option("step_size", step_size, "α, the published values being 2e-4 and 1e-5 per latent variable", positive());
    o.option("noise", noise, "σ, the standard deviation of the noise of a step", non_negative());
    o.option("steps", steps, "steps from a draw of q", at_least(0));
  }
};

/// Draws of `start` after the steps, without graph; the noise of the steps depends on the number of particles. Both arguments must outlive it. Throws RequestError for discrete latent
/// variables.
std::unique_ptr<Posterior> make_corrected_posterior(const CorrectorOptions& options, const LatentEnergy& joint,
                                                    Posterior& start);

}  // namespace gibbsite
