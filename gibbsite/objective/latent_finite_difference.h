// Finite-difference score matching of a latent-variable model p(v) = ∫ p(v, h) dh by unbiased estimates of log p
// (finite-difference score matching, Eqs. 50 to 53):
//
//   (1/ε²) mean[ S₊ + S₋ - 2 S₀ + (S₊ - S₋)²/8 ],   S± = SUMO(v ± εu), S₀ = SUMO(v), u uniform on the unit sphere.
//
// The first three terms are unbiased. Since E[S₊ - S₋]² <= E[(S₊ - S₋)²], the last makes the whole an upper bound, in
// expectation, of FD-SSM (Eq. 9). The three share K and the noise of the posterior; independent draws are valid too, but leave
// a slack of (Var S₊ + Var S₋)/(8 ε²). Equation 52 as printed pairs other arguments; this is what its derivation needs.
#pragma once

#include <gibbsite/objective/objective.h>
#include <gibbsite/posterior/importance.h>

namespace gibbsite {

struct LatentFiniteDifferenceOptions : SumoOptions {
  double epsilon = 0.1;
  bool shared = true;
  void declare(OptionVisitor& o) {
    o.option("epsilon", epsilon, "length of the displacement", positive());
    o.option("shared", shared, "the three estimates share K and the posterior's noise");
    SumoOptions::declare(o);
  }
};

/// Needs an encoder with a density, a decoder and a prior; trains all of them. Reports "loss".
std::unique_ptr<Objective> make_latent_finite_difference(const LatentFiniteDifferenceOptions& options,
                                                         const ObjectiveParts& parts);

/// The loss of one batch for any joint energy; `u` like v, of unit length in every row.
Tensor latent_finite_difference_loss(const LatentFiniteDifferenceOptions& options, const LatentEnergy& joint,
                                     const Posterior& posterior, const Tensor& v, const Tensor& u, const Rng& rng);

}  // namespace gibbsite
