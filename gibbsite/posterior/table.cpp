#include <gibbsite/posterior/bernoulli.h>
#include <gibbsite/posterior/gaussian.h>
#include <gibbsite/posterior/implicit.h>
#include <gibbsite/posterior/posterior.h>
#include <gibbsite/posterior/von_mises_fisher.h>

namespace gibbsite {
namespace {

template <class Options, std::unique_ptr<Posterior> (*make)(const Options&, const LatentContext&)>
std::unique_ptr<Posterior> from_config(const Config& config, const LatentContext& context) {
  return make(read_options<Options>(config, "encoder"), context);
}

}  // namespace

const Table<MakePosterior>& posterior_table() {
  using Settings = Config;
  static const Table<MakePosterior> table = {
      // clang-format off
      {"implicit", "a network of v and noise; without noise a deterministic code", "Mescheder et al. 2017; finite-difference score matching, Table 6", from_config<ImplicitPosteriorOptions, make_implicit_posterior>, describe_options<ImplicitPosteriorOptions>, Settings::table({{"noise", Settings(2)}, {"hidden", Settings::array({Settings(4)})}})},
      {"implicit_conv", "strided convolutions of an image and noise; without noise a deterministic code", "finite-difference score matching, Table 6", from_config<ConvImplicitPosteriorOptions, make_conv_implicit_posterior>, describe_options<ConvImplicitPosteriorOptions>, Settings::table({{"noise", Settings(2)}, {"filters", Settings(2)}, {"stages", Settings(1)}, {"features", Settings(4)}})},
      {"gaussian", "N(mean(v), diag deviation(v)²) by a network", "Kingma and Welling 2014", from_config<GaussianPosteriorOptions, make_gaussian_posterior>, describe_options<GaussianPosteriorOptions>, Settings::table({{"hidden", Settings::array({Settings(4)})}})},
      {"gaussian_conv", "the same by strided convolutions of an image", "VaGES, Table 1", from_config<ConvGaussianPosteriorOptions, make_conv_gaussian_posterior>, describe_options<ConvGaussianPosteriorOptions>, Settings::table({{"filters", Settings(2)}, {"stages", Settings(1)}})},
      {"gaussian_features", "the same by the network of conjugate energies", "CEBM, section 6", from_config<FeatureNetOptions, make_feature_gaussian_posterior>, describe_options<FeatureNetOptions>, Settings::table({{"channels", Settings::array({Settings(2), Settings(2)})}, {"hidden", Settings::array({Settings(4)})}})},
      {"bernoulli", "independent binary variables with logits by a network, relaxed by Gumbel-softmax", "VaGES, section 4.1; Jang et al. 2017", from_config<BernoulliPosteriorOptions, make_bernoulli_posterior>, describe_options<BernoulliPosteriorOptions>},
      {"von_mises_fisher", "vMF(mean(v), κ(v)) on a sphere, by a network", "Davidson et al. 2018; minimum velocity learning, Table 1", from_config<VonMisesFisherPosteriorOptions, make_von_mises_fisher_posterior>, describe_options<VonMisesFisherPosteriorOptions>, Settings::table({{"hidden", Settings::array({Settings(4)})}})},
      // clang-format on
  };
  return table;
}

}  // namespace gibbsite
