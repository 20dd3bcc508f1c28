#include <fmt/format.h>
#include <gibbsite/metric/aggregate_posterior.h>
#include <gibbsite/metric/clustering.h>
#include <gibbsite/model/conjugate_energy.h>
#include <gibbsite/recipe/cebm_latent.h>
#include <gibbsite/recipe/cebm_models.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>
#include <filesystem>
#include <map>

namespace gibbsite {

namespace fs = std::filesystem;

namespace {

// Table 3, nats: divergence of the aggregate, mutual information.
struct Published {
  double divergence, information;
};
const std::map<std::string, std::map<std::string, Published>>& published() {
  static const std::map<std::string, std::map<std::string, Published>> all = {
      {"mnist", {{"vae", {11.5, 9.1}}, {"cebm", {.9, .3}}, {"cebm-pcd", {.9, .3}}, {"gmm-cebm", {18.7, 4.7}}}},
      {"fashion-mnist", {{"vae", {3.5, 9.0}}, {"cebm", {.6, .4}}, {"cebm-pcd", {.6, .4}}, {"gmm-cebm", {8.1, 3.9}}}},
      {"cifar10", {{"vae", {21.5, 9.2}}, {"cebm", {.1, .2}}, {"cebm-pcd", {.1, .2}}, {"gmm-cebm", {4.5, 2.7}}}},
  };
  return all;
}

// z = a x + noise with x and noise N(0, I) in kSize dimensions: I = kSize/2 log(1 + a²).
class Channel : public Posterior {
 public:
  static constexpr std::int64_t kSize = 8;
  explicit Channel(double information) : gain_(std::sqrt(std::expm1(2 * information / kSize))) {}
  Tensor sample(const Tensor& v, std::int64_t particles, Rng& rng) const override {
    return gain_ * v + rng.normal_particles({particles, v.size(0), kSize}, v);
  }
  Tensor log_prob(const Tensor& v, const Tensor& h) const override {
    return -0.5 * (h - gain_ * v).square().sum(-1) - 0.5 * kSize * std::log(2 * M_PI);
  }
  bool has_log_prob() const override { return true; }
  torch::nn::Module& module() override { return module_; }
  std::int64_t latent_size() const override { return kSize; }
  Tensor log_aggregate(const Tensor& h) const {
    const double variance = 1 + gain_ * gain_;
    return -0.5 * h.square().sum(-1) / variance - 0.5 * kSize * std::log(2 * M_PI * variance);
  }

 private:
  double gain_;
  torch::nn::Module module_{"channel"};
};

void add_information(const Row& like, const AggregatePosterior& found, std::vector<Row>& rows) {
  for (const bool weighted : {true, false}) {
    Row row = like;
    row.metric = "mutual_information";
    row.value = weighted ? found.information.value : found.plain_information.value;
    row.standard_error = weighted ? found.information.standard_error : found.plain_information.standard_error;
    row.unit = "nats";
    row.settings["estimator"] = std::string(weighted ? "weighted" : "plain");
    rows.push_back(row);
  }
}

// Channels of known information, so that a reader sees where the estimators stop being right.
void measure_channels(CebmStudy& study, const AggregateOptions& options) {
  if (study.context().measured("gaussian-channel", study.dataset(), "mutual_information")) return;
  const std::int64_t population = 60000;
  std::vector<Row> rows;
  for (const double truth : {0.3, 1.0, 2.0, 5.0, 8.0}) {
    const Channel channel(truth);
    Rng rng(study.context().seed, "channel");
    const Tensor x = rng.normal({options.batches * options.batch_size, Channel::kSize}, torch::kDouble);
    const AggregatePosterior found = aggregate_posterior(
        channel, [&](const Tensor& z) { return channel.log_aggregate(z); }, x, population, options, rng.stream("draws"),
        study.ports());
    Row like = study.row("gaussian-channel", "mutual_information", {});
    like.settings["truth"] = truth;
    add_information(like, found, rows);
    study.say(fmt::format("Gaussian channel of {} nats: weighted {}, plain {}", truth,
                          format_estimate(found.information.value, found.information.standard_error),
                          format_estimate(found.plain_information.value, found.plain_information.standard_error)));
  }
  study.context().add(rows);
}

std::function<Tensor(const Tensor&)> log_prior_of(const Parts& parts) {
  if (const auto* conjugate = dynamic_cast<const ConjugateEnergy*>(parts.energy.get()))
    return [conjugate](const Tensor& z) { return conjugate->log_bias(z); };
  return [&parts](const Tensor& z) { return -parts.prior->energy(z); };
}

// Shares of the components of a mixture as clusters.
void add_clusters(const CebmStudy& study, const CebmModel& model, const CebmStudy::Trained& trained,
                  std::vector<Row>& rows) {
  const Parts& parts = trained.parts;
  const auto* conjugate = dynamic_cast<const ConjugateEnergy*>(parts.energy.get());
  if (!conjugate || conjugate->components() == 1) return;
  const torch::NoGradGuard no_grad;
  const Dataset& test = parts.data->splits.test;
  std::vector<Tensor> clusters;
  for (const Tensor& chunk : parts.transforms.pipeline.forward(test.x).to(parts.like().options()).split(500))
    clusters.push_back(conjugate->responsibilities(chunk).argmax(1).cpu());
  const ClusterAgreement agreement = cluster_agreement(torch::cat(clusters), test.label);
  rows.push_back(study.row(model, trained, "cluster_accuracy", agreement.accuracy));
  rows.push_back(study.row(model, trained, "cluster_nmi", {agreement.information}));
  rows.push_back(study.row(model, trained, "clusters", {static_cast<double>(agreement.used)}));
}

// Energies by persistent chains have the strong penalty of the published table here, under which posteriors collapse.
struct Variant {
  std::string name;
  std::vector<std::string> set;
  std::map<std::string, Setting> settings;
};

std::vector<Variant> variants_of(const CebmModel& model) {
  if (model.route != "pcd") return {{}};
  const double magnitude = 0.1;
  const Variant penalised = {"-c", {fmt::format("objective.magnitude={}", magnitude)}, {{"magnitude", magnitude}}};
  if (model.slug != "cebm-mi") return {penalised};
  std::vector<Variant> variants;
  for (const double weight : {0.3, 1.0, 3.0}) {
    Variant variant = penalised;
    variant.name += fmt::format("-w{}", weight);
    variant.set.push_back(fmt::format("objective.information={}", weight));
    variant.settings["weight"] = weight;
    variants.push_back(variant);
  }
  return variants;
}

void measure(CebmStudy& study, const CebmModel& model, const CebmStudy::Trained& trained,
             const AggregateOptions& options, std::vector<Row>& rows) {
  const Parts& parts = trained.parts;
  const Dataset &train = parts.data->splits.train, &test = parts.data->splits.test;
  const std::size_t first = rows.size();
  const Dataset some = study.rows(train, options.batches * options.batch_size);
  const AggregatePosterior found = aggregate_posterior(
      *parts.encoder, log_prior_of(parts), parts.transforms.pipeline.forward(some.x).to(parts.like().options()),
      train.size(), options, parts.rng("aggregate"), study.ports());
  rows.push_back(study.row(model, trained, "kl_aggregate", found.divergence, "nats"));
  add_information(study.row(model, trained, "mutual_information", {}), found, rows);
  rows.push_back(study.row(model, trained, "posterior_divergence", found.posterior_divergence, "nats"));
  const auto of_data = published().find(study.data());
  if (of_data != published().end() && of_data->second.count(model.slug)) {
    rows[first].published = of_data->second.at(model.slug).divergence;
    rows[first + 1].published = of_data->second.at(model.slug).information;
  }
  const std::int64_t labels = study.smoke() ? 1 : 10;
  rows.push_back(study.row(model, trained, "accuracy",
                           few_label_accuracy(labelled_codes(parts, train, study.ports()),
                                              labelled_codes(parts, test, study.ports()), labels)));
  rows.back().settings["labels"] = static_cast<double>(labels);
  const double right = rows.back().value;
  add_clusters(study, model, trained, rows);
  if (parts.energy) {
    SampleJudge& judge = study.judge();
    const std::int64_t samples = study.smoke() ? 32 : 1000;
    const Row distance = judge.distance(parts, model.slug, judge.samples(parts, trained.run, trained.step, samples));
    rows.push_back(study.row(model, trained, "frechet_classifier", {distance.value, distance.standard_error}));
    rows.back().settings["samples"] = static_cast<double>(samples);
  }
  study.say(fmt::format("{}: information {} (plain {}), divergence of the aggregate {} nats, accuracy {:.3f}",
                        fs::path(trained.run).filename().string(),
                        format_estimate(found.information.value, found.information.standard_error),
                        format_estimate(found.plain_information.value, found.plain_information.standard_error),
                        format_estimate(found.divergence.value, found.divergence.standard_error), right));
}

}  // namespace

ExperimentOutcome reproduce_cebm_latent(const ExperimentContext& context, const Ports& ports) {
  CebmStudy study(context, ports, "mnist", {"vae", "gmm-vae", "cebm", "cebm-pcd", "gmm-cebm", "cebm-mi"},
                  "mutual_information");
  require_image_classes(study.data(), context.path);
  AggregateOptions options;
  if (study.smoke()) {
    options.batch_size = 32;
    options.batches = 2;
  }
  for (const CebmModel& model : study.missing()) {
    std::vector<Row> rows;
    for (const Variant& variant : variants_of(model)) {
      const CebmStudy::Trained trained = study.train(model, 1, variant.name, variant.set);
      const std::size_t first = rows.size();
      measure(study, model, trained, options, rows);
      for (std::size_t i = first; i < rows.size(); ++i)
        for (const auto& [key, value] : variant.settings) rows[i].settings[key] = value;
    }
    study.context().add(rows);
  }
  measure_channels(study, options);
  return study.outcome;
}

}  // namespace gibbsite
