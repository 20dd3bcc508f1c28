// Birth–death accelerated Langevin dynamics (Lu, Lu and Nolen 2019): particles diffuse, and multiply or vanish where their
// density is below or above the target's.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/sampler/stepping_kernel.h>

namespace gibbsite {

/// 1 - time·(β_i - mean β), [B], at least 0, with β = log_density + energy; differentiable in both.
Tensor birth_death_weights(const Tensor& log_density, const Tensor& energy, double time);

/// [B] int64: row i of the next generation is row index[i] of this one. Systematic: row i is kept ⌊w_i⌋ or ⌈w_i⌉ times, w_i
/// on average, weights scaled to mean 1. `uniform` is one number in (0, 1].
Tensor systematic_resampling(const Tensor& weights, double uniform);

struct BirthDeathOptions {
  double step_size = 0.1;
  double bandwidth = 0;
  void declare(OptionVisitor& o) {
    o.option("step_size", step_size, "η of the Langevin step; births and deaths act for the time η/2", positive());
    o.option("bandwidth", bandwidth,
             "b of the density estimate, a mean of exp(-‖x - y‖²/(2b)); 0: from the median distance", non_negative());
  }
};

/// A Langevin step, then resampling. Exact as the step, the bandwidth and one over the number of particles go to 0. Particles
/// interact. Throws RequestError on Graph::kKeep: MVL takes the weights themselves.
class BirthDeath : public SteppingKernel<BirthDeath, BirthDeathOptions> {
 public:
  explicit BirthDeath(const BirthDeathOptions& options);
  Step step(const Target& target, const Tensor& x, Rng& rng, Graph graph = Graph::kDetach,
            const Step* previous = nullptr) const override;
  bool interacts() const override { return true; }
};

}  // namespace gibbsite
