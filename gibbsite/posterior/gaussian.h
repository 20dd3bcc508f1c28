// q(h | v) = N(mean(v), diag deviation(v)²): the explicit encoder of a variational auto-encoder.
#pragma once

#include <gibbsite/calculus/activation.h>
#include <gibbsite/model/gaussian_latent.h>
#include <gibbsite/posterior/posterior.h>

#include <vector>

namespace gibbsite {

struct GaussianPosteriorOptions {
  std::vector<std::int64_t> hidden = {256, 256};
  std::string activation = "tanh";
  std::string deviation = "softplus";
  void declare(OptionVisitor& o) {
    o.option("hidden", hidden, "widths of the hidden layers; none: an affine map", at_least(1));
    o.option("activation", activation, "nonlinearity of every hidden layer", activation_names());
    o.option("deviation", deviation, "what makes the deviation of the network's second half", {"softplus", "exp"});
  }
};

/// One multi-layer perceptron gives the mean and, through a positive function, the deviation.
std::unique_ptr<Posterior> make_gaussian_posterior(const GaussianPosteriorOptions& options,
                                                   const LatentContext& context);

/// p(h | v) of the model, which must outlive it; no parameters of its own.
std::unique_ptr<Posterior> make_exact_posterior(const GaussianLatent& model);

}  // namespace gibbsite
