// Unadjusted Langevin dynamics, Riemannian where the target lives on a manifold: a geodesic step along drift and noise,
// whose first order in η is the Laplace–Beltrami operator, without the terms that a chart needs (mvl.md 2.3).
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/sampler/stepping_kernel.h>

namespace gibbsite {

struct LangevinOptions {
  double step_size = 0.01;
  double noise_scale = 1;
  bool noise_first = false;
  double gradient_limit = 0;
  double gradient_norm_limit = 0;
  std::vector<double> clamp;

  void declare(OptionVisitor& o) {
    o.option("step_size", step_size, "η in x ← x − (η/2)∇E + √η·noise_scale·ω", positive());
    o.option("noise_scale", noise_scale, "factor on the noise; 0 is gradient descent", non_negative());
    o.option("noise_first", noise_first, "add the noise before the gradient is evaluated");
    o.option("gradient_limit", gradient_limit, "each component of ∇E is clamped to ± this; 0 is no limit",
             non_negative());
    o.option("gradient_norm_limit", gradient_norm_limit,
             "∇E of a chain is scaled down to at most this norm; 0 is no limit", non_negative());
    o.option("clamp", clamp, "[low, high] that every component of the new state is clamped to; empty is no clamp");
  }
};

/// x' = x − (η/2) L(∇E(x)) + √η·noise_scale·ω, with L the limits of the options (componentwise first), then the clamp.
/// With `noise_first`, x' = y − (η/2) L(∇E(y)) for y = x plus the noise. Step::noise is the increment added, not clamped.
/// Graph::kKeep keeps the graph through the drift (limits and clamp included), in the parameters and, if x requires a
/// gradient, in x; the noise is a constant. Throws RequestError unless the options lie in their ranges and clamp is empty
/// or low < high. On a manifold gradient_norm_limit measures the Riemannian length, and RequestError is thrown for the
/// options that take coordinates one by one (gradient_limit, clamp) and for noise_first.
class Langevin : public SteppingKernel<Langevin, LangevinOptions> {
 public:
  explicit Langevin(const LangevinOptions& options);
  Step step(const Target& target, const Tensor& x, Rng& rng, Graph graph = Graph::kDetach,
            const Step* previous = nullptr) const override;
  /// Without limits of length and noise first, and with target.rows: a thread takes a block of chains through all steps.
  std::optional<Step> advance(const Target& target, const Tensor& x, std::int64_t count, Rng& rng,
                              Draws draws) const override;

 private:
  double noise_factor_;  // √η·noise_scale
};

/// x + (step_size/2)·score + noise in a new tensor, the one place where the Langevin update is written. Differentiable
/// while gradients are recorded; the rounding does not depend on how rows are split or on threads.
/// On a manifold, exp(x, (step_size/2)·score + noise).
Tensor langevin_update(const Tensor& x, const Tensor& score, const Tensor& noise, double step_size,
                       const Manifold* manifold = nullptr);

}  // namespace gibbsite
