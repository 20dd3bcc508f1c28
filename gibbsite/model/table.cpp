#include <gibbsite/model/classifier.h>
#include <gibbsite/model/conjugate_energy.h>
#include <gibbsite/model/conv_decoder.h>
#include <gibbsite/model/conv_latent_score.h>
#include <gibbsite/model/decoder.h>
#include <gibbsite/model/dkef.h>
#include <gibbsite/model/energy.h>
#include <gibbsite/model/gaussian_latent.h>
#include <gibbsite/model/grbm.h>
#include <gibbsite/model/hierarchical_vae.h>
#include <gibbsite/model/inner_product_energy.h>
#include <gibbsite/model/latent_energy.h>
#include <gibbsite/model/latent_score.h>
#include <gibbsite/model/mirrored_decoder.h>
#include <gibbsite/model/mlp_decoder.h>
#include <gibbsite/model/mlp_energy.h>
#include <gibbsite/model/mlp_latent_score.h>
#include <gibbsite/model/mlp_score.h>
#include <gibbsite/model/ncsn.h>
#include <gibbsite/model/nice.h>
#include <gibbsite/model/normalised_residual_energy.h>
#include <gibbsite/model/quadratic_energy.h>
#include <gibbsite/model/residual_energy.h>
#include <gibbsite/model/residual_latent.h>
#include <gibbsite/model/score_estimator.h>

namespace gibbsite {
namespace {

template <class Options, std::unique_ptr<Energy> (*make)(const Options&, const ModelContext&)>
std::unique_ptr<Energy> from_config(const Config& config, const ModelContext& context) {
  return make(read_options<Options>(config, "model"), context);
}

template <class Options, std::unique_ptr<LatentModel> (*make)(const Options&, const ModelContext&)>
std::unique_ptr<LatentModel> latent_from_config(const Config& config, const ModelContext& context) {
  return make(read_options<Options>(config, "model"), context);
}

template <class Base, class Model, class Options>
std::unique_ptr<Base> own_marginal(const Config& config, const ModelContext& context) {
  return std::make_unique<Model>(read_options<Options>(config, "model"), context);
}

template <class Base>
std::unique_ptr<Base> conjugate(const Config& config, const ModelContext& context) {
  return make_conjugate_energy(read_options<ConjugateEnergyOptions>(config, "model"), context);
}

template <class Options, std::unique_ptr<ScoreNetwork> (*make)(const Options&, const ModelContext&)>
std::unique_ptr<ScoreNetwork> score_from_config(const Config& config, const ModelContext& context) {
  return make(read_options<Options>(config, "score"), context);
}

template <class Options, std::unique_ptr<Decoder> (*make)(const Options&, const LatentContext&)>
std::unique_ptr<Decoder> decoder_from_config(const Config& config, const LatentContext& context) {
  return make(read_options<Options>(config, "decoder"), context);
}

template <class Options, std::unique_ptr<HierarchicalVae> (*make)(const Options&, const ModelContext&)>
std::unique_ptr<HierarchicalVae> generator_from_config(const Config& config, const ModelContext& context) {
  return make(read_options<Options>(config, "generator"), context);
}

template <class Options, std::unique_ptr<LatentScore> (*make)(const Options&, const LatentContext&)>
std::unique_ptr<LatentScore> latent_score_from_config(const Config& config, const LatentContext& context) {
  return make(read_options<Options>(config, "score"), context);
}

template <class Options, std::unique_ptr<ScoreEstimator> (*make)(const Options&)>
std::unique_ptr<ScoreEstimator> estimator_from_config(const Config& config) {
  return make(read_options<Options>(config, "estimator"));
}

}  // namespace

const Table<MakeEnergy>& energy_table() {
  using Settings = Config;
  static const Table<MakeEnergy> table = {
      // clang-format off
      {"mlp", "multi-layer perceptron on flattened points", "VAEBM; finite-difference score matching, Figure 4", from_config<MlpEnergyOptions, make_mlp_energy>, describe_options<MlpEnergyOptions>, Settings::table({{"hidden", Settings::array({Settings(4), Settings(4)})}})},
      {"inner_product", "⟨x, ψ(x)⟩ with a multi-layer perceptron ψ, on manifolds too", "minimum velocity learning", from_config<InnerProductEnergyOptions, make_inner_product_energy>, describe_options<InnerProductEnergyOptions>, Settings::table({{"hidden", Settings::array({Settings(4)})}})},
      {"residual", "residual convolutions with a quadratic or linear head", "finite-difference score matching, Table 2", from_config<ResidualEnergyOptions, make_residual_energy>, describe_options<ResidualEnergyOptions>, Settings::table({{"filters", Settings(2)}, {"stages", Settings(1)}, {"blocks", Settings(2)}})},
      {"normalised_residual", "residual convolutions with weight normalisation and known spectral norms", "VAEBM, Table 7", from_config<NormalisedResidualOptions, make_normalised_residual_energy>, describe_options<NormalisedResidualOptions>, Settings::table({{"stem", Settings(2)}, {"blocks", Settings::array({Settings(2), Settings(3)})}, {"halve", Settings::array({Settings(1)})}})},
      {"nice", "additive couplings and a scale; exact log density, sampling", "finite-difference score matching, Table 3; Dinh et al. 2015", from_config<NiceOptions, make_nice>, describe_options<NiceOptions>, Settings::table({{"hidden", Settings::array({Settings(4), Settings(4)})}})},
      {"quadratic", "k ‖x - m‖² / 2 with trainable k", "closed-form test case", from_config<QuadraticEnergyOptions, make_quadratic_energy>, describe_options<QuadraticEnergyOptions>, Settings::table()},
      {"dkef", "deep kernel exponential family, its weights solved in closed form", "Wenliang et al. 2019; finite-difference score matching, Table 1", from_config<DkefOptions, make_dkef>, describe_options<DkefOptions>, Settings::table({{"inducing", Settings(4)}, {"features", Settings(3)}, {"hidden", Settings::array({Settings(4)})}})},
      {"conv", "convolutions and dense layers", "IGEBM; CEBM, section 6", from_config<FeatureEnergyOptions, make_feature_energy>, describe_options<FeatureEnergyOptions>, Settings::table({{"channels", Settings::array({Settings(2), Settings(2)})}, {"hidden", Settings::array({Settings(4)})}})},
      {"conjugate", "conjugate energy-based model, its latent variables integrated out", "CEBM, Eq. 17", conjugate<Energy>, describe_options<ConjugateEnergyOptions>, Settings::table({{"latent_size", Settings(2)}, {"channels", Settings::array({Settings(2), Settings(2)})}, {"hidden", Settings::array({Settings(4)})}})},
      {"classifier", "convolutional classifier; as an energy -log Σ exp(logits)", "judge of image samples", from_config<ClassifierOptions, make_classifier>, describe_options<ClassifierOptions>, Settings::table({{"filters", Settings(2)}, {"features", Settings(4)}})},
      {"grbm", "Gaussian-Bernoulli restricted Boltzmann machine, its latent variables summed out", "VaGES, Eq. 15", own_marginal<Energy, Grbm, GrbmOptions>, describe_options<GrbmOptions>, Settings::table({{"latent_size", Settings(2)}})},
      {"gaussian_latent", "Gaussian model of v and h, its latent variables integrated out", "VaGES, Figure 1 (b)", own_marginal<Energy, GaussianLatent, GaussianLatentOptions>, describe_options<GaussianLatentOptions>, Settings::table({{"latent_size", Settings(2)}})},
      // clang-format on
  };
  return table;
}

const Table<MakeLatentModel>& latent_model_table() {
  using Settings = Config;
  static const Table<MakeLatentModel> table = {
      // clang-format off
      {"grbm", "Gaussian-Bernoulli restricted Boltzmann machine", "VaGES, Eq. 15", own_marginal<LatentModel, Grbm, GrbmOptions>, describe_options<GrbmOptions>, Settings::table({{"latent_size", Settings(2)}})},
      {"gaussian_latent", "Gaussian model of v and h, everything in closed form", "VaGES, Figure 1 (b)", own_marginal<LatentModel, GaussianLatent, GaussianLatentOptions>, describe_options<GaussianLatentOptions>, Settings::table({{"latent_size", Settings(2)}})},
      {"conjugate", "conjugate energy-based model: a posterior of the family of its bias", "CEBM, Eq. 14", conjugate<LatentModel>, describe_options<ConjugateEnergyOptions>, Settings::table({{"latent_size", Settings(2)}, {"channels", Settings::array({Settings(2), Settings(2)})}, {"hidden", Settings::array({Settings(4)})}})},
      {"residual_latent", "residual convolutions of v, joined with h by an additive coupling, under a quadratic head", "VaGES, Table 1", latent_from_config<ResidualLatentOptions, make_residual_latent>, describe_options<ResidualLatentOptions>, Settings::table({{"latent_size", Settings(2)}, {"filters", Settings(2)}, {"stages", Settings(1)}, {"blocks", Settings(2)}})},
      // clang-format on
  };
  return table;
}

const Table<MakeScore>& score_table() {
  using Settings = Config;
  static const Table<MakeScore> table = {
      // clang-format off
      {"mlp", "multi-layer perceptron on flattened points", "finite-difference score matching, section 4", score_from_config<MlpScoreOptions, make_mlp_score>, describe_options<MlpScoreOptions>, Settings::table({{"hidden", Settings::array({Settings(4), Settings(4)})}})},
      {"ncsn", "conditional RefineNet of images, told the noise level", "finite-difference score matching, Table 5; Song and Ermon 2019", score_from_config<NcsnOptions, make_ncsn>, describe_options<NcsnOptions>, Settings::table({{"filters", Settings(2)}, {"levels", Settings(2)}})},
      // clang-format on
  };
  return table;
}

const Table<MakeDecoder>& decoder_table() {
  using Settings = Config;
  static const Table<MakeDecoder> table = {
      // clang-format off
      {"mlp", "multi-layer perceptron", "Kingma and Welling 2014", decoder_from_config<MlpDecoderOptions, make_mlp_decoder>, describe_options<MlpDecoderOptions>, Settings::table({{"hidden", Settings::array({Settings(4)})}})},
      {"mirrored_conv", "the convolutions of conjugate energies in reverse", "CEBM, section 6", decoder_from_config<MirroredDecoderOptions, make_mirrored_decoder>, describe_options<MirroredDecoderOptions>, Settings::table({{"channels", Settings::array({Settings(2), Settings(2)})}, {"hidden", Settings::array({Settings(4)})}})},
      {"conv", "transposed convolutions to an image", "finite-difference score matching, Table 6", decoder_from_config<ConvDecoderOptions, make_conv_decoder>, describe_options<ConvDecoderOptions>, Settings::table({{"filters", Settings(2)}, {"stages", Settings(1)}})},
      // clang-format on
  };
  return table;
}

const Table<MakeHierarchicalVae>& hierarchical_vae_table() {
  using Settings = Config;
  static const Table<MakeHierarchicalVae> table = {
      // clang-format off
      {"nvae", "hierarchical auto-encoder of residual cells, a Gaussian decoder", "VAEBM, section 6; Vahdat and Kautz 2020", generator_from_config<HierarchicalVaeOptions, make_hierarchical_vae>, describe_options<HierarchicalVaeOptions>, Settings::table({{"channels", Settings(4)}, {"latent_channels", Settings(2)}, {"cells", Settings(1)}, {"expansion", Settings(2)}})},
      // clang-format on
  };
  return table;
}

const Table<MakeLatentScore>& latent_score_table() {
  using Settings = Config;
  static const Table<MakeLatentScore> table = {
      // clang-format off
      {"conditional_mlp", "grad log q(h | v) by a multi-layer perceptron of v and h", "Song et al. 2019", latent_score_from_config<MlpLatentScoreOptions, make_conditional_mlp_score>, describe_options<MlpLatentScoreOptions>, Settings::table({{"hidden", Settings::array({Settings(4)})}})},
      {"aggregate_mlp", "grad log q(h) by a multi-layer perceptron of h", "Song et al. 2019", latent_score_from_config<MlpLatentScoreOptions, make_aggregate_mlp_score>, describe_options<MlpLatentScoreOptions>, Settings::table({{"hidden", Settings::array({Settings(4)})}})},
      {"conditional_conv", "grad log q(h | v) by strided convolutions of an image and the code as a channel", "Song et al. 2019", latent_score_from_config<ConvLatentScoreOptions, make_conditional_conv_score>, describe_options<ConvLatentScoreOptions>, Settings::table({{"filters", Settings(2)}, {"stages", Settings(1)}, {"features", Settings(4)}})},
      {"aggregate_conv", "grad log q(h) by strided convolutions of the code as an image", "Song et al. 2019", latent_score_from_config<ConvLatentScoreOptions, make_aggregate_conv_score>, describe_options<ConvLatentScoreOptions>, Settings::table({{"filters", Settings(2)}, {"stages", Settings(1)}, {"features", Settings(4)}})},
      // clang-format on
  };
  return table;
}

const Table<MakeScoreEstimator>& score_estimator_table() {
  static const Table<MakeScoreEstimator> table = {
      // clang-format off
      {"stein", "ridge regression on Stein's identity", "Li and Turner 2018", estimator_from_config<SteinEstimatorOptions, make_stein_estimator>, describe_options<SteinEstimatorOptions>},
      {"spectral", "expansion in leading eigenfunctions of the kernel", "Shi, Sun and Zhu 2018", estimator_from_config<SpectralEstimatorOptions, make_spectral_estimator>, describe_options<SpectralEstimatorOptions>},
      // clang-format on
  };
  return table;
}

}  // namespace gibbsite
