// The curvature uᵀ∇s u of the marginal of a latent-variable energy along a direction u, and its gradient, from draws of
// q(h | v). With a = uᵀ∇_v log p̃, H = uᵀ∇²_v log p̃ u, t = ∂ log p̃/∂θ and all moments those of p(h | v),
//
//   uᵀ∇s u        = E[H] + Var(a)
//   ∂(uᵀ∇s u)/∂θ  = E[∂H] + Cov(H, t) + 2 Cov(a, ∂a) + κ₃(a, a, t)
//
// where κ₃ is the third joint cumulant. The sample forms are unbiased for every number of particles they are defined for:
// two for the value, three for the gradient. Beyond VaGES, whose objectives need no ∇·s.
#pragma once

#include <gibbsite/model/latent_energy.h>

namespace gibbsite {

struct VariationalCurvature {
  Tensor value;      ///< [B], detached
  Tensor surrogate;  ///< [B], its gradient in the parameters of the energy is the second line; its value means nothing
};

/// v, u: [B, *event]; h: [L, B, K], independent draws, frozen. Throws RequestError for L < 3 and for energies without a jet
/// in v.
VariationalCurvature variational_curvature(const LatentEnergy& joint, const Tensor& v, const Tensor& h,
                                           const Tensor& u);

}  // namespace gibbsite
