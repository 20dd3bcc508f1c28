// h = f(v, e), e ~ N(0, I): a law that can be sampled and has no density formula. Without noise h is a function of v. Codes on a
// manifold are what f gives, put onto it.
#pragma once

#include <gibbsite/calculus/activation.h>
#include <gibbsite/nn/mlp.h>
#include <gibbsite/posterior/posterior.h>

#include <vector>

namespace gibbsite {

struct ImplicitPosteriorOptions : MlpOptions {
  std::int64_t noise = 32;
  void declare(OptionVisitor& o) {
    o.option("noise", noise, "size of e, joined to v; 0: a deterministic code", at_least(0));
    MlpOptions::declare(o);
  }
};

/// f is a multi-layer perceptron of [v, e]; what v adds to its first layer is computed once for all particles. Throws
/// RequestError without hidden layers.
std::unique_ptr<Posterior> make_implicit_posterior(const ImplicitPosteriorOptions& options,
                                                   const LatentContext& context);

struct ConvImplicitPosteriorOptions {
  std::int64_t noise = 32;
  std::int64_t filters = 64;
  std::int64_t stages = 4;
  std::int64_t features = 512;
  std::string activation = "relu";
  void declare(OptionVisitor& o) {
    o.option("noise", noise, "size of e, made one more channel of v; 0: a deterministic code", at_least(0));
    o.option("filters", filters, "filters of the first convolution; each of the others doubles them", at_least(1));
    o.option("stages", stages, "convolutions of stride 2", between(1, 16));
    o.option("features", features, "width of the dense layer", at_least(1));
    o.option("activation", activation,
             "nonlinearity of every layer but the last, and but the last convolution where there is noise",
             activation_names());
  }
};

/// f by strided convolutions of images [C, H, W] whose sides divide by 2^stages; RequestError for others.
std::unique_ptr<Posterior> make_conv_implicit_posterior(const ConvImplicitPosteriorOptions& options,
                                                        const LatentContext& context);

}  // namespace gibbsite
