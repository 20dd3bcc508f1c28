// q(h | v) = vMF(mean(v), κ(v)) on a sphere: the explicit encoder of a hyperspherical variational auto-encoder (Davidson et
// al. 2018; protocol sheet of minimum velocity learning, 4.1 and 6.1).
#pragma once

#include <gibbsite/nn/mlp.h>
#include <gibbsite/posterior/posterior.h>

namespace gibbsite {

struct VonMisesFisherPosteriorOptions : MlpOptions {
  void declare(OptionVisitor& o) { MlpOptions::declare(o); }
};

/// One multi-layer perceptron gives the mean direction, normalised, and κ = 1 + softplus. Draws are differentiable as
/// vmf_sample's are. RequestError unless codes live on a sphere.
std::unique_ptr<Posterior> make_von_mises_fisher_posterior(const VonMisesFisherPosteriorOptions& options,
                                                           const LatentContext& context);

}  // namespace gibbsite
