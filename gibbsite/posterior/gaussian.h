// q(h | v) = N(mean(v), diag deviation(v)²): the explicit encoder of a variational auto-encoder.
#pragma once

#include <gibbsite/calculus/activation.h>
#include <gibbsite/posterior/posterior.h>

#include <vector>

namespace gibbsite {

struct GaussianPosteriorOptions {
  std::vector<std::int64_t> hidden = {256, 256};
  std::string activation = "tanh";
  void declare(OptionVisitor& o) {
    o.option("hidden", hidden, "widths of the hidden layers", at_least(1));
    o.option("activation", activation, "nonlinearity of every hidden layer", activation_names());
  }
};

/// One multi-layer perceptron gives the mean and, through softplus, the deviation.
std::unique_ptr<Posterior> make_gaussian_posterior(const GaussianPosteriorOptions& options,
                                                   const LatentContext& context);

}  // namespace gibbsite
