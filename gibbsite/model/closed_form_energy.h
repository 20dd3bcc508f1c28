// Energies that are linear in weights which no optimiser sees: an objective fixes them in closed form.
#pragma once

#include <gibbsite/model/energy.h>

namespace gibbsite {

/// Weights minimise ½ αᵀ (gram + λ I) α + αᵀ target. Both members are float64.
struct NormalEquations {
  Tensor gram;    ///< [M, M]
  Tensor target;  ///< [M]
};

/// The energy is a constant part less Σ_m α_m k_m(x). While the module trains, fit() solves for α on the first half of a
/// batch, differentiably, and leaves the second half to the loss; otherwise it takes the weights at hand.
class ClosedFormEnergy : public Energy {
 public:
  /// Means over the rows of x ([B, *event]); differentiable in the parameters. `rng` draws what the problem needs.
  virtual NormalEquations normal_equations(const Tensor& x, const FitProblem& problem, Rng& rng) const = 0;
  /// α = −(gram + λ I)⁻¹ target, float64 [M], differentiable in both and in λ = 10^log_ridge. Throws WorkError where the
  /// system is finite and singular.
  virtual Tensor solve(const NormalEquations& equations) const = 0;
  /// Sets the weights at hand, [M]; checkpoints store their values, the energy keeps their graph.
  virtual void use(const Tensor& weights) = 0;
  /// The weights at hand.
  virtual const Tensor& weights() const = 0;
  /// ℓ of λ = 10^ℓ, a parameter, 0-dim.
  virtual const Tensor& log_ridge() const = 0;

  /// Solves on all rows of x, `chunk` rows at a time, and uses the result.
  void refit(const Tensor& x, const FitProblem& problem, Rng& rng, std::int64_t chunk = 100);
  /// Their normal equations, without graph.
  NormalEquations gather(const Tensor& x, const FitProblem& problem, Rng& rng, std::int64_t chunk = 100) const;
};

}  // namespace gibbsite
