#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/text.h>
#include <gibbsite/manifold/geodesic_jet.h>
#include <gibbsite/metric/auroc.h>
#include <gibbsite/metric/chain_diagnostics.h>
#include <gibbsite/metric/classification.h>
#include <gibbsite/metric/frechet.h>
#include <gibbsite/metric/mmd.h>
#include <gibbsite/metric/moments.h>
#include <gibbsite/metric/noise_space_log_z.h>
#include <gibbsite/metric/quadrature.h>
#include <gibbsite/metric/score_matching_loss.h>
#include <gibbsite/metric/table.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

using Values = std::vector<MetricValue>;

void need(bool present, const char* metric, const char* what) {
  if (!present) throw RequestError(fmt::format("metric {}", metric), fmt::format("needs {}", what));
}

LogNormaliser normaliser_of(const char* metric, const MetricInput& input) {
  need(static_cast<bool>(input.energy), metric, "an energy");
  need(input.data.defined(), metric, "data");
  if (input.manifold) return log_normaliser(input.energy, *input.manifold, input.data);
  need(input.data.dim() == 2 && input.data.size(1) <= 2, metric, "points in one or two dimensions");
  const Tensor points = input.training.defined() ? at::cat({input.data, input.training}) : input.data;
  return quadrature(input.energy, data_box(points), input.data);
}

Values log_likelihood_values(const MetricInput& input) {
  const LogNormaliser integral = normaliser_of("log_likelihood", input);
  LogLikelihood result = log_likelihood(input.energy, input.data, integral);
  result.estimate.value += input.log_jacobian;
  return {{"log_likelihood",
           result.estimate,
           "nats",
           {{"quadrature_error", fmt::format("{:.2g}", result.quadrature_error)}}}};
}

Values log_z_values(const MetricInput& input) {
  const LogNormaliser integral = normaliser_of("log_z", input);
  return {{"log_z", {integral.log_z, integral.log_z_error, 1}, "nats", {}}};
}

Values noise_space_values(const MetricInput& input) {
  constexpr std::int64_t kDraws = 10000, kChains = 128, kTemperatures = 200;
  need(input.space != nullptr, "noise_space_log_z", "an auto-encoder whose density an energy corrects ([vae])");
  need(input.data.defined(), "noise_space_log_z", "data");
  const LogMean drawn =
      noise_space_importance(*input.space, input.correction, kDraws, input.data, input.rng.stream("draws"));
  AisOptions options;
  options.temperatures = kTemperatures;
  const AisResult chains = noise_space_annealing(*input.space, input.correction, kChains, options, input.data,
                                                 input.rng.stream("annealing"));
  const LogMean annealed = log_mean_weight(chains.log_weights);
  const auto value = [](const char* by, const LogMean& found) {
    return MetricValue{
        "log_z", found.log_mean, "nats", {{"by", by}, {"effective", fmt::format("{:.1f}", found.effective)}}};
  };
  return {value("importance", drawn), value("annealing", annealed)};
}

Values score_matching_values(const MetricInput& input) {
  need(static_cast<bool>(input.energy), "sm_loss", "an energy");
  need(input.data.defined(), "sm_loss", "data");
  const ScalarFunction energy{input.energy, input.jet};
  return {{"sm_loss",
           input.manifold ? mean_estimate(riemannian_loss_terms(energy, input.manifold, input.data))
                          : score_matching_loss(energy, input.data),
           "1",
           {}}};
}

Values auroc_values(const MetricInput& input) {
  need(static_cast<bool>(input.energy), "auroc", "an energy");
  need(input.data.defined(), "auroc", "data");
  need(!input.out.empty(), "auroc", "an out-of-distribution set");
  const ScoredPoints in = score_points(input.energy, input.data);
  std::vector<DetectionScore> scores{DetectionScore::kLogDensity, DetectionScore::kGradientNorm};
  double training_energy = 0;
  if (input.training.defined()) {
    scores.push_back(DetectionScore::kTypicality);
    training_energy = energies(input.energy, input.training, 1024).mean().item<double>();
  }
  Values values;
  for (const auto& [name, points] : input.out) {
    const ScoredPoints out = score_points(input.energy, points);
    for (const DetectionScore score : scores) {
      values.push_back({"auroc",
                        detection_auroc(score, in, out, training_energy),
                        "1",
                        {{"out", name}, {"score", detection_score_name(score)}}});
    }
  }
  return values;
}

Values moments_values(const MetricInput& input) {
  need(input.samples.defined(), "moments", "samples");
  need(input.data.defined(), "moments", "data");
  const MomentComparison result = compare_moments_of_samples(input.samples.flatten(1), input.data.flatten(1));
  return {{"moments", {result.worst_z, 1, result.independent}, "standard errors", {}}};
}

Values mmd_values(const MetricInput& input) {
  need(input.samples.defined(), "mmd", "samples");
  need(input.data.defined(), "mmd", "data");
  const Mmd result = mmd(input.samples, input.data, input.rng.stream("mmd"));
  return {
      {"mmd",
       result.squared,
       "1",
       {{"p_value", fmt::format("{:.4g}", result.p_value)}, {"bandwidth", fmt::format("{:.4g}", result.bandwidth)}}}};
}

Values accuracy_values(const MetricInput& input) {
  need(static_cast<bool>(input.classify), "accuracy", "a classifier");
  need(input.data.defined() && input.labels.defined(), "accuracy", "labelled data");
  return {{"accuracy", accuracy(input.classify(input.data), input.labels), "1", {}}};
}

Values digit_values(const MetricInput& input) {
  need(static_cast<bool>(input.classify), "digit_criterion", "a classifier");
  need(input.samples.defined(), "digit_criterion", "samples");
  const DigitCriterion result = digit_criterion(input.classify(input.samples));
  return {{"confident_share", result.confident, "1", {}},
          {"classes", {static_cast<double>(result.classes), std::nan(""), result.confident.count}, "1", {}}};
}

Values frechet_values(const MetricInput& input) {
  need(static_cast<bool>(input.features), "frechet_classifier", "a classifier");
  need(input.samples.defined(), "frechet_classifier", "samples");
  need(input.data.defined(), "frechet_classifier", "data");
  const Estimate found = frechet_distance(input.features(input.samples), input.features(input.data));
  return {{"frechet_classifier", found, "1", {{"samples", fmt::format("{}", input.samples.size(0))}}}};
}

constexpr std::int64_t kShownCoordinates = 16;

// By coordinate, or of the worst one where there are many; and of the energy.
Values chain_values(const MetricInput& input) {
  need(input.chains.defined(), "chains", "chains");
  const Tensor draws = input.chains.dim() > 2 ? input.chains.flatten(2) : input.chains.unsqueeze(2);
  const std::int64_t coordinates = draws.size(2);
  Values values;
  const auto add = [&](const std::string& of, const ChainDiagnostics& found) {
    for (const auto& [slug, value] :
         {std::pair("r_hat", found.r_hat), std::pair("ess_bulk", found.ess_bulk), std::pair("ess_tail", found.ess_tail),
          std::pair("mcse_mean", found.mcse_mean), std::pair("mcse_sd", found.mcse_sd)})
      values.push_back({slug, {value, std::nan(""), draws.size(1)}, "1", {{"of", of}}});
  };
  if (input.chain_energies.defined()) add("energy", diagnose_chains(input.chain_energies));
  ChainDiagnostics worst;
  // The first number that is one, then the worse of two.
  const auto take = [](double& value, double other, bool larger) {
    if (std::isnan(value) || (larger ? other > value : other < value)) value = other;
  };
  for (std::int64_t d = 0; d < coordinates; ++d) {
    const ChainDiagnostics found = diagnose_chains(draws.select(2, d));
    const auto at = static_cast<std::size_t>(d);
    if (coordinates <= kShownCoordinates)
      add(at < input.columns.size() ? input.columns[at] : fmt::format("x.{}", d + 1), found);
    take(worst.r_hat, found.r_hat, true);
    take(worst.ess_bulk, found.ess_bulk, false);
    take(worst.ess_tail, found.ess_tail, false);
    take(worst.mcse_mean, found.mcse_mean, true);
    take(worst.mcse_sd, found.mcse_sd, true);
  }
  if (coordinates > kShownCoordinates) add("worst coordinate", worst);
  if (input.divergences.defined())
    values.push_back(
        {"divergences", {input.divergences.sum().item<double>(), std::nan(""), draws.size(1)}, "transitions", {}});
  return values;
}

const char* const kInception = "a network in evaluate.inception.module";

Values fid_values(const MetricInput& input) {
  need(static_cast<bool>(input.inception), "fid", kInception);
  need(input.samples.defined(), "fid", "samples");
  need(input.data.defined(), "fid", "data");
  const Estimate found =
      frechet_distance(input.inception(input.samples).features, input.inception(input.data).features);
  return {{"fid",
           found,
           "1",
           {{"samples", fmt::format("{}", input.samples.size(0))},
            {"references", fmt::format("{}", input.data.size(0))},
            {"module_sha256", input.inception_sha256}}}};
}

Values inception_score_values(const MetricInput& input) {
  need(static_cast<bool>(input.inception), "inception_score", kInception);
  need(input.samples.defined(), "inception_score", "samples");
  return {{"inception_score",
           inception_score(input.inception(input.samples).logits),
           "1",
           {{"samples", fmt::format("{}", input.samples.size(0))}, {"module_sha256", input.inception_sha256}}}};
}

}  // namespace

const std::vector<MetricEntry>& metric_table() {
  static const std::vector<MetricEntry> table{
      {"log_likelihood",
       "held-out log density in 1-D and 2-D and on manifolds of up to 3 dimensions, normalised by quadrature", "",
       log_likelihood_values, true, true},
      {"log_z", "log partition function in 1-D and 2-D and on manifolds of up to 3 dimensions by quadrature", "",
       log_z_values, true, true},
      {"noise_space_log_z",
       "log partition function of an auto-encoder times an energy, by weighted draws and by annealing in noise space",
       "VAEBM", noise_space_values},
      {"sm_loss", "exact score-matching loss", "Hyvärinen 2005", score_matching_values, true, true},
      {"auroc", "out-of-distribution detection by log density, gradient norm and typicality",
       "DeLong, DeLong and Clarke-Pearson 1988", auroc_values, true},
      {"moments", "largest difference of mean and covariance between samples and data, in standard errors", "",
       moments_values},
      {"mmd", "unbiased squared maximum mean discrepancy of samples and data, with a permutation p value",
       "Gretton et al. 2012", mmd_values},
      {"accuracy", "share of labelled points that the classifier gets right", "", accuracy_values},
      {"digit_criterion", "share of samples that get a class with probability 0.9 or more, and classes that occur", "",
       digit_values},
      {"frechet_classifier",
       "Fréchet distance of samples and held-out data in the features of the classifier; not comparable with published "
       "distances",
       "Heusel et al. 2017", frechet_values},
      {"fid", "Fréchet distance of samples and held-out data in the features of a network given as a TorchScript file",
       "Heusel et al. 2017", fid_values},
      {"inception_score", "inception score of samples by a network given as a TorchScript file", "Salimans et al. 2016",
       inception_score_values},
      {"chains",
       "rank-normalised split R-hat, bulk and tail effective sample size, Monte Carlo standard errors and divergences "
       "of "
       "chains of the sampler",
       "Vehtari et al. 2021", chain_values},
  };
  return table;
}

const MetricEntry& find_metric(const std::string& name) {
  std::vector<std::string> names;
  for (const MetricEntry& entry : metric_table()) {
    if (entry.name == name) return entry;
    names.push_back(entry.name);
  }
  throw RequestError("metric", fmt::format("unknown metric '{}'", name), name_hint(name, names));
}

}  // namespace gibbsite
