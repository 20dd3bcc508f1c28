// q(h | v) = N(mean(v), diag deviation(v)²): the explicit encoder of a variational auto-encoder.
#pragma once

#include <gibbsite/calculus/activation.h>
#include <gibbsite/model/gaussian_latent.h>
#include <gibbsite/nn/feature_net.h>
#include <gibbsite/nn/mlp.h>
#include <gibbsite/posterior/posterior.h>

#include <vector>

namespace gibbsite {

struct GaussianPosteriorOptions : MlpOptions {
  std::string deviation = "softplus";
  void declare(OptionVisitor& o) {
    MlpOptions::declare(o);
    o.option("deviation", deviation, "what makes the deviation of the network's second half", {"softplus", "exp"});
  }
};

/// One multi-layer perceptron gives the mean and, through a positive function, the deviation.
std::unique_ptr<Posterior> make_gaussian_posterior(const GaussianPosteriorOptions& options,
                                                   const LatentContext& context);

struct ConvGaussianPosteriorOptions {
  std::int64_t filters = 64;
  std::int64_t stages = 3;
  std::string activation = "leaky_relu";
  void declare(OptionVisitor& o) {
    o.option("filters", filters, "filters of the first convolution; each of the others doubles them", at_least(1));
    o.option("stages", stages, "3x3 convolutions of stride 2", between(1, 16));
    o.option("activation", activation, "nonlinearity of every convolution", activation_names());
  }
};

/// The mean and the logarithm of the deviation are affine in the features of strided convolutions (protocol sheet of VaGES,
/// 2.5). Images [C, H, W] whose sides divide by 2^stages; RequestError for others.
std::unique_ptr<Posterior> make_conv_gaussian_posterior(const ConvGaussianPosteriorOptions& options,
                                                        const LatentContext& context);

/// The network of conjugate energy-based models gives the mean and the logarithm of the deviation (protocol sheet of CEBM, 4.1).
std::unique_ptr<Posterior> make_feature_gaussian_posterior(const FeatureNetOptions& options,
                                                           const LatentContext& context);

/// p(h | v) of the model, which must outlive it; no parameters of its own.
std::unique_ptr<Posterior> make_exact_posterior(const GaussianLatent& model);

}  // namespace gibbsite
