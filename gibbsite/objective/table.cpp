#include <gibbsite/objective/adversarial_inference.h>
#include <gibbsite/objective/autoencoder.h>
#include <gibbsite/objective/bilevel_score_matching.h>
#include <gibbsite/objective/contrastive_divergence.h>
#include <gibbsite/objective/cross_entropy.h>
#include <gibbsite/objective/denoising.h>
#include <gibbsite/objective/diagonal_curvature.h>
#include <gibbsite/objective/evidence.h>
#include <gibbsite/objective/fisher_critic.h>
#include <gibbsite/objective/gibbs_divergence.h>
#include <gibbsite/objective/latent_finite_difference.h>
#include <gibbsite/objective/latent_score_matching.h>
#include <gibbsite/objective/maximum_likelihood.h>
#include <gibbsite/objective/minimum_velocity.h>
#include <gibbsite/objective/noise_conditional.h>
#include <gibbsite/objective/noise_contrastive.h>
#include <gibbsite/objective/noise_space_divergence.h>
#include <gibbsite/objective/objective.h>
#include <gibbsite/objective/one_sided.h>
#include <gibbsite/objective/posterior_fit.h>
#include <gibbsite/objective/score_matching.h>
#include <gibbsite/objective/stein_discrepancy.h>
#include <gibbsite/objective/variational_noise_contrastive.h>
#include <gibbsite/objective/variational_score_matching.h>

namespace gibbsite {
namespace {

template <class Options, std::unique_ptr<Objective> (*make)(const Options&, const ObjectiveParts&)>
std::unique_ptr<Objective> from_config(const Config& config, const ObjectiveParts& parts) {
  const auto options = read_options<Options>(config, "objective");
  return make(options, parts);
}

}  // namespace

const Table<MakeObjective>& objective_table() {
  using Settings = Config;
  static const Table<MakeObjective> table = {
      // clang-format off
      {"exact_score_matching", "½‖∇E‖² - tr ∇²E with the exact Laplacian", "Hyvärinen 2005", from_config<ExactScoreMatchingOptions, make_exact_score_matching>, describe_options<ExactScoreMatchingOptions>},
      {"ssm", "sliced score matching, ½(v·∇E)² - vᵀ∇²E v, by jets, autograd or finite differences", "finite-difference score matching, Eq. 9", from_config<SlicedScoreMatchingOptions, make_sliced_score_matching>, describe_options<SlicedScoreMatchingOptions>},
      {"ssm_vr", "sliced score matching with the exact norm ½‖∇E‖²", "finite-difference score matching, section 2", from_config<SlicedScoreMatchingOptions, make_sliced_score_matching_vr>, describe_options<SlicedScoreMatchingOptions>},
      {"dsm", "denoising score matching, ½‖s(x + n) - ∇log q(n)‖², exact or along random directions", "finite-difference score matching, Eq. 10", from_config<DenoisingScoreMatchingOptions, make_denoising_score_matching>, describe_options<DenoisingScoreMatchingOptions>},
      {"mdsm", "multi-scale denoising score matching over a grid of noise levels, exact or along random directions", "finite-difference score matching, Table 2", from_config<MultiscaleDenoisingOptions, make_multiscale_denoising>, describe_options<MultiscaleDenoisingOptions>},
      {"mpf", "minimum probability flow to a small sphere, or one-sided differences: sliced score matching by energies alone", "finite-difference score matching, appendix B.7", from_config<MinimumProbabilityFlowOptions, make_minimum_probability_flow>, describe_options<MinimumProbabilityFlowOptions>},
      {"noise_conditional", "variance-reduced sliced score matching at every noise level at once, σ² (½‖s‖² + vᵀ∇s v)", "finite-difference score matching, Table 5; Song and Ermon 2019", from_config<NoiseConditionalOptions, make_noise_conditional>, describe_options<NoiseConditionalOptions>},
      {"nce", "noise-contrastive estimation against a noise law, or against the data moved by a small step", "Gutmann and Hyvärinen 2010", from_config<NoiseContrastiveOptions, make_noise_contrastive>, describe_options<NoiseContrastiveOptions>},
      {"approximate_backprop", "½‖∇E‖² - Σ of a Hessian diagonal by approximate back-propagation", "Kingma, LeCun 2010", from_config<DiagonalCurvatureOptions, make_approximate_backprop>, describe_options<DiagonalCurvatureOptions>},
      {"curvature_propagation", "½‖∇E‖² - Σ of an unbiased Hessian diagonal by curvature propagation", "Martens, Sutskever, Swersky 2012", from_config<DiagonalCurvatureOptions, make_curvature_propagation>, describe_options<DiagonalCurvatureOptions>},
      {"mle", "-log p(x), for models with an exact log density", "finite-difference score matching, Table 3", from_config<MaximumLikelihoodOptions, make_maximum_likelihood>, describe_options<MaximumLikelihoodOptions>},
      {"pcd", "persistent contrastive divergence with a replay buffer", "CEBM; IGEBM", from_config<ContrastiveDivergenceOptions, make_contrastive_divergence>, describe_options<ContrastiveDivergenceOptions>, Settings::table({{"capacity", Settings(64)}, {"steps", Settings(2)}})},
      {"vaebm", "likelihood of the product of a frozen auto-encoder and an energy, by negatives from its noise space", "VAEBM, section 3", from_config<NoiseSpaceDivergenceOptions, make_noise_space_divergence>, describe_options<NoiseSpaceDivergenceOptions>, Settings::table({{"capacity", Settings(64)}, {"steps", Settings(2)}})},
      {"generator_energy", "mean energy of a generator's draws, which trains the generator", "VAEBM, appendix C and Table 4", from_config<GeneratorEnergyOptions, make_generator_energy>, describe_options<GeneratorEnergyOptions>},
      {"cd", "contrastive divergence of a Gaussian-Bernoulli machine by Gibbs sweeps, from the data or from kept chains", "Hinton 2002; Tieleman 2008", from_config<GibbsDivergenceOptions, make_gibbs_divergence>, describe_options<GibbsDivergenceOptions>},
      {"autoencoder", "reconstruction and divergence from the prior, the entropy of the codes by a score", "finite-difference score matching, Table 6; Song et al. 2019", from_config<AutoencoderOptions, make_autoencoder>, describe_options<AutoencoderOptions>},
      {"evidence", "evidence bound of a hierarchical auto-encoder, its groups balanced while their divergences are warmed up", "VAEBM; Vahdat and Kautz 2020", from_config<EvidenceOptions, make_evidence>, describe_options<EvidenceOptions>},
      {"latent_adversarial", "trains the critic that tells codes of an encoder from draws of the prior", "Tolstikhin et al. 2018; minimum velocity learning, Table 2", from_config<AdversarialOptions, make_latent_adversarial>, describe_options<AdversarialOptions>},
      {"adversarial_inference", "an encoder and a decoder whose pairs of example and code no critic tells apart", "Donahue et al. 2017; CEBM, section 6", from_config<AdversarialInferenceOptions, make_adversarial_inference>, describe_options<AdversarialInferenceOptions>},
      {"inference_critic", "trains the critic of adversarial_inference", "Donahue et al. 2017; CEBM, section 6", from_config<AdversarialInferenceOptions, make_inference_critic>, describe_options<AdversarialInferenceOptions>},
      {"latent_mvl", "minimum velocity learning of the codes of an encoder, on spheres too", "minimum velocity learning, section 5", from_config<MinimumVelocityOptions, make_latent_minimum_velocity>, describe_options<MinimumVelocityOptions>},
      {"latent_ssm_vr", "variance-reduced sliced score matching of the codes of an encoder", "finite-difference score matching, Table 6", from_config<LatentScoreMatchingOptions, make_latent_score_matching>, describe_options<LatentScoreMatchingOptions>},
      {"latent_fd_ssm", "an upper bound of finite-difference score matching by unbiased estimates of log p(v)", "finite-difference score matching, Eqs. 50 to 53", from_config<LatentFiniteDifferenceOptions, make_latent_finite_difference>, describe_options<LatentFiniteDifferenceOptions>},
      {"ksd", "kernelised Stein discrepancy of the two halves of a batch", "Liu et al. 2016; VaGES, Eq. 12", from_config<SteinDiscrepancyOptions, make_stein_discrepancy>, describe_options<SteinDiscrepancyOptions>, Settings::table({{"width", Settings(1.0)}})},
      {"is_ksd", "the same for binary latent variables, the score by importance sampling from fair coins", "VaGES, Figure 2", from_config<ImportanceSteinOptions, make_importance_stein>, describe_options<ImportanceSteinOptions>},
      {"posterior_kl", "fits an encoder to the posterior of a latent-variable energy, minus the evidence bound", "VaGES, Eq. 6", from_config<PosteriorFitOptions, make_posterior_kl>, describe_options<PosteriorFitOptions>},
      {"posterior_fisher", "the same by the Fisher divergence, for continuous latent variables", "VaGES, Eq. 6", from_config<PosteriorFitOptions, make_posterior_fisher>, describe_options<PosteriorFitOptions>},
      {"variational_ssm", "sliced score matching of a latent-variable energy, its moments by draws of an encoder", "beyond VaGES", from_config<VariationalScoreMatchingOptions, make_variational_score_matching>, describe_options<VariationalScoreMatchingOptions>},
      {"bidsm", "denoising score matching of a latent-variable energy through unrolled updates of an encoder", "Bao et al. 2020", from_config<BilevelDenoisingOptions, make_bilevel_denoising>, describe_options<BilevelDenoisingOptions>},
      {"bissm", "the same by sliced score matching", "Bao et al. 2020", from_config<BilevelSlicedOptions, make_bilevel_sliced>, describe_options<BilevelSlicedOptions>},
      {"bimdsm", "the same by multi-scale denoising score matching", "Bao et al. 2020; VaGES, Table 1", from_config<BilevelMultiscaleOptions, make_bilevel_multiscale>, describe_options<BilevelMultiscaleOptions>},
      {"vnce", "noise-contrastive estimation of a latent-variable energy by draws of an encoder", "Rhodes and Gutmann 2019", from_config<VariationalNoiseContrastiveOptions, make_variational_noise_contrastive>, describe_options<VariationalNoiseContrastiveOptions>},
      {"fisher_critic", "a critic that bounds the Fisher divergence of a model from its data below, the score exact or by draws of an encoder", "VaGES, Eqs. 22 to 24", from_config<FisherCriticOptions, make_fisher_critic>, describe_options<FisherCriticOptions>},
      {"mvl", "minimum velocity learning: how fast a sampler of the model moves the data, in one small step or in its exact limit; on manifolds too", "minimum velocity learning, section 3", from_config<MinimumVelocityOptions, make_minimum_velocity>, describe_options<MinimumVelocityOptions>},
      {"cross_entropy", "-log softmax(logits)[label], for classifiers", "judge of image samples", from_config<CrossEntropyOptions, make_cross_entropy>, describe_options<CrossEntropyOptions>},
      // clang-format on
  };
  return table;
}

}  // namespace gibbsite
