#include <gibbsite/core/error.h>
#include <gibbsite/objective/normaliser_gradient.h>
#include <torch/types.h>

namespace gibbsite {

Tensor normaliser_surrogate(const LatentEnergy& joint, const Tensor& x, const Tensor& z,
                            const std::shared_ptr<const Kernel>& kernel, const ChainOptions& options, const Rng& rng) {
  if (joint.discrete())
    throw RequestError("normaliser gradient",
                       "posterior chains follow gradients, and these latent variables are discrete");
  const Tensor fixed = x.detach();
  Target posterior;
  posterior.energy = [&](const Tensor& h) { return joint.joint(fixed, h.unsqueeze(0)).select(0, 0); };
  const Tensor drawn = run_chain(kernel, posterior, z.detach(), rng, options).last.x.detach();
  return -joint.joint(fixed, drawn.unsqueeze(0)).mean();
}

}  // namespace gibbsite
