// A lower bound of what latent variables say about the data, in closed form for posteriors of an exponential family: with the
// Bhattacharyya coefficients c_ij = ∫ √(p(z | x_i) p(z | x_j)) dz = exp(B((λ_i + λ_j)/2) - ½ B(λ_i) - ½ B(λ_j)) of a batch of N,
//
//   I ≥ -(1/N) Σ_i log (1/N) Σ_j c_ij ≤ log N         (Kolchinsky and Tracey 2017)
//
// is the information under the batch's own law, with no draws and no density ratio. It asks of a conjugate energy-based model
// what its paper leaves open, an objective under which posteriors do not collapse onto the bias.
#pragma once

#include <gibbsite/model/conjugate_energy.h>

namespace gibbsite {

/// 0-dim, with graph; nats. x: [N, *event], N > 1. Of a mixture by the most responsible components.
Tensor information_bound(const ConjugateEnergy& model, const Tensor& x);

/// The same of natural parameters, [N, S].
Tensor information_bound(const ExponentialFamily& family, const Tensor& natural);

}  // namespace gibbsite
