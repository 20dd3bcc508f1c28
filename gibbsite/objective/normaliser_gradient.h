// The gradient of log Z in the parameters θ of p_θ(x, z), of a model h(x) = p_θ(x) exp(-E(x))/Z whose auto-encoder is trained
// too (VAEBM, appendix A):
//
//   ∂ log Z = E_h[∂ log p_θ(x)] = E_{x ~ h} E_{z' ~ p_θ(z' | x)}[∂ log p_θ(x, z')]
//
// so beside the draws of h a second chain, for every x, samples the posterior.
#pragma once

#include <gibbsite/model/latent_energy.h>
#include <gibbsite/sampler/chain.h>

#include <memory>

namespace gibbsite {

/// Minus the mean of the joint energy at x and the ends of posterior chains, 0-dim: its gradient in the parameters of `joint`
/// estimates ∂ log Z; its value means nothing. x: [B, *event], draws of h; z: [B, K], first states of the chains, for which the
/// latent variables that came with x will do. Nothing is differentiated through x or the chains. Throws RequestError for
/// discrete latent variables.
Tensor normaliser_surrogate(const LatentEnergy& joint, const Tensor& x, const Tensor& z,
                            const std::shared_ptr<const Kernel>& kernel, const ChainOptions& options, const Rng& rng);

}  // namespace gibbsite
