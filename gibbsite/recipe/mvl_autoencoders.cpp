#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/data/npy.h>
#include <gibbsite/metric/frechet.h>
#include <gibbsite/recipe/autoencoder_study.h>
#include <gibbsite/recipe/mvl_autoencoders.h>
#include <gibbsite/recipe/parse.h>
#include <gibbsite/recipe/sample.h>
#include <gibbsite/recipe/sample_judge.h>
#include <gibbsite/recipe/step_cost.h>
#include <gibbsite/recipe/train.h>
#include <torch/types.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>

namespace gibbsite {

namespace fs = std::filesystem;

namespace {

const char* const kSpaces[] = {"euclidean", "sphere"};

struct Method {
  std::string slug, recipe;
  std::vector<std::string> set;
  std::optional<double> published = std::nullopt;
};

const std::vector<std::string>& small_networks() {
  static const std::vector<std::string> set = {"train.steps=4", "train.batch_size=16", "train.checkpoint_every=2",
                                               "data.train=64", "data.test=48"};
  return set;
}

// What both experiments do with their methods: train each, or go on where an interrupted call stopped, and measure it.
class Study {
 public:
  Study(const ExperimentContext& context, const Ports& ports, std::string metric)
      : context_(context), ports_(ports), metric_(std::move(metric)) {}

  using Measure = std::function<void(const Method& method, const Parts& model)>;
  ExperimentOutcome run(const std::vector<Method>& methods, const std::string& only, const std::string& dataset,
                        const std::vector<std::string>& set, const Measure& measure) {
    for (const Method& method : methods) {
      if ((!only.empty() && only != method.slug) || context_.measured(method.slug, dataset, metric_)) continue;
      if (ports_.interrupt->requested()) throw Interrupted("reproduce", fmt::format("stopped before {}", method.slug));
      ports_.logger->info(fmt::format("{}: training", method.slug));
      TrainRequest request;
      request.recipe = method.recipe;
      request.set = method.set;
      request.set.insert(request.set.end(), set.begin(), set.end());
      request.seed = static_cast<std::int64_t>(context_.seed);
      request.out = fmt::format("{}/{}", context_.directory, method.slug);
      request.path = context_.path;
      train_or_resume(request, ports_);
      const Parts model = load_run(RunDirectory::open(request.out), {}, true, context_.path, *ports_.logger);
      model.freeze();
      measure(method, model);
      outcome.pictures.push_back(decoded_picture(model, request.out + "/samples.png", method.slug, ports_));
    }
    if (outcome.summary.empty()) outcome.summary.emplace_back("every row was there already");
    return outcome;
  }

  ExperimentOutcome outcome;

 private:
  const ExperimentContext& context_;
  const Ports& ports_;
  std::string metric_;
};

std::vector<std::string> slugs_of(const std::vector<Method>& methods) {
  std::vector<std::string> slugs;
  slugs.reserve(methods.size());
  for (const Method& method : methods) slugs.push_back(method.slug);
  return slugs;
}

// Table 1; explicit encoders with the units of the others are not in it.
std::vector<Method> variational_methods() {
  const std::map<std::string, double> published = {{"explicit-euclidean-8", 96.45},  {"explicit-sphere-8", 95.47},
                                                   {"implicit-euclidean-8", 95.84},  {"implicit-sphere-8", 94.72},
                                                   {"explicit-euclidean-32", 90.28}, {"explicit-sphere-32", 91.32},
                                                   {"implicit-euclidean-32", 90.33}, {"implicit-sphere-32", 88.81}};
  std::vector<Method> methods;
  for (const std::int64_t size : {8, 32})
    for (const std::string encoder : {"explicit", "explicit-tanh", "implicit"})
      for (const std::string space : kSpaces) {
        Method method;
        method.slug = fmt::format("{}-{}-{}", encoder, space, size);
        method.recipe = encoder == "implicit" ? "mvl/implicit-vae" : "mvl/explicit-vae";
        method.set = {fmt::format("latent.size={}", size), "latent.space=" + space};
        if (encoder == "implicit")
          method.set.push_back(fmt::format("encoder.noise={}", size));
        else if (space == kSpaces[0])
          method.set.emplace_back("encoder.name=gaussian");
        if (encoder == "explicit-tanh")
          method.set.insert(method.set.end(), {"encoder.activation=tanh", "decoder.activation=tanh"});
        const auto found = published.find(method.slug);
        if (found != published.end()) method.published = found->second;
        methods.push_back(method);
      }
  return methods;
}

// Table 2.
std::vector<Method> wasserstein_methods(const std::string& recipe) {
  const std::map<std::string, double> published = {
      {"wae-gan-euclidean", 24.59}, {"wae-gan-sphere", 19.81}, {"mvl-euclidean", 23.80}, {"mvl-sphere", 18.36}};
  std::vector<Method> methods;
  for (const std::string penalty : {"mvl", "mvl-scalar", "wae-gan", "wae-mmd"})
    for (const std::string space : kSpaces) {
      Method method;
      method.slug = fmt::format("{}-{}", penalty, space);
      method.recipe = recipe + (penalty == "wae-gan" ? "-gan" : penalty == "wae-mmd" ? "-mmd" : "");
      method.set = {"latent.space=" + space};
      if (penalty == "mvl-scalar") method.set.emplace_back("score.form=scalar");
      const auto found = published.find(method.slug);
      if (found != published.end() && recipe == "mvl/wae") method.published = found->second;
      methods.push_back(method);
    }
  return methods;
}

struct WassersteinOptions {
  std::int64_t samples = 10000;
  std::string classifier;
  void declare(OptionVisitor& o) {
    o.option("samples", samples, "decoded draws of the prior, and at most so many test images", at_least(2));
    o.option("classifier", classifier, "run of the classifier that judges; empty: it is trained first");
  }
};

class Wasserstein {
 public:
  Wasserstein(const ExperimentContext& context, const Ports& ports)
      : context_(context), ports_(ports), study_(context, ports, "frechet_classifier") {
    std::vector<std::string> asked = context.set;
    const bool colour = take(asked, "data=cifar10");
    if (!colour) take(asked, "data=mnist");
    const bool smoke = context.scale == "smoke";
    if (smoke) options_.samples = 32;
    options_ = take_experiment_options(asked, options_);
    methods_ = wasserstein_methods(colour ? "mvl/wae-cifar10" : "mvl/wae");
    only_ = take_method(asked, slugs_of(methods_));
    SampleJudgeSettings judging;
    judging.set = SampleJudgeSettings::of_scale(context.scale);
    if (smoke) set_ = small_networks();
    if (colour) judging.set.insert(judging.set.end(), {"data.name=cifar10", "data.pad=0"});
    if (smoke && !colour) set_.insert(set_.end(), {"encoder.hidden=[16]", "decoder.hidden=[16]"});
    if (smoke && colour) set_.insert(set_.end(), {"encoder.filters=4", "decoder.filters=4"});
    if (context.scale == "desk") set_.emplace_back(colour ? "train.steps=4000" : "train.steps=12000");
    set_.insert(set_.end(), asked.begin(), asked.end());
    judging.classifier = options_.classifier;
    judge_ = std::make_unique<SampleJudge>(judging, context_, ports_);
    const Config recipe = load_recipe(find_recipe(methods_.front().recipe), set_);
    dataset_ = recipe.at_table("data").find("name")->string();
    if (colour && load_published(dataset_, context.path).train->size() < 50000) dataset_ += "-partial";
  }

  ExperimentOutcome run() {
    return study_.run(methods_, only_, dataset_, set_,
                      [this](const Method& method, const Parts& model) { measure(method, model); });
  }

 private:
  const ExperimentContext& context_;
  const Ports& ports_;
  Study study_;
  WassersteinOptions options_;
  std::vector<Method> methods_;
  std::vector<std::string> set_;  // of every run
  std::string only_;              // the one method asked for; empty: all
  std::string dataset_;
  std::unique_ptr<SampleJudge> judge_;

  static bool take(std::vector<std::string>& set, const std::string& assignment) {
    const auto found = std::find(set.begin(), set.end(), assignment);
    if (found == set.end()) return false;
    set.erase(found);
    return true;
  }

  Row row(const std::string& method, const char* metric, const Estimate& estimate) const {
    Row made;
    made.method = method;
    made.dataset = dataset_;
    made.metric = metric;
    made.value = estimate.value;
    made.standard_error = estimate.standard_error;
    made.unit = "1";
    return made;
  }

  // Decoded draws of the prior, [samples, *event] in original units, bits where the data are.
  Tensor samples(const Parts& model) const {
    constexpr std::int64_t kChunk = 1000;
    Rng bits = model.rng("bits");
    std::vector<Tensor> chunks;
    for (std::int64_t first = 0; first < options_.samples; first += kChunk) {
      const std::int64_t count = std::min(kChunk, options_.samples - first);
      Tensor x = draw(model, count, model.rng("samples").at_row(first), {}).x;
      if (model.data->options.binarise) x = (bits.at_row(first).uniform(x.sizes(), x) <= x).to(x.scalar_type());
      chunks.push_back(model.transforms.pipeline.inverse(x));
    }
    return torch::cat(chunks);
  }

  void measure(const Method& method, const Parts& model) {
    const Judge& judge = judge_->judge(model);
    const Dataset& test = model.data->splits.test;
    const std::int64_t images = std::min(options_.samples, test.size());
    const Tensor reference =
        model.transforms.pipeline.inverse(model.data->prepared(test, "test", model.dtype).narrow(0, 0, images));
    const Estimate distance = frechet_distance(judge.features(samples(model)), judge.features(reference));
    std::vector<Row> rows = {row(method.slug, "frechet_classifier", distance)};
    rows[0].settings["samples"] = static_cast<double>(options_.samples);
    rows[0].settings["images"] = static_cast<double>(images);
    rows[0].settings["step"] = static_cast<double>(model.train.steps);
    rows[0].published = method.published;
    if (!context_.measured("classifier", dataset_, "accuracy") && test.label.defined()) {
      const Tensor guess = judge.probabilities(test.rows(0, images).x.to(torch::kFloat)).argmax(1);
      const Tensor right = guess.cpu().eq(test.label.narrow(0, 0, images));
      rows.push_back(row("classifier", "accuracy", share_estimate(right.sum().item<std::int64_t>(), images)));
    }
    context_.add(rows);
    study_.outcome.summary.push_back(fmt::format("{}: Fréchet distance {} from {} test images", method.slug,
                                                 format_estimate(distance.value, distance.standard_error), images));
    ports_.logger->info(study_.outcome.summary.back());
  }
};

}  // namespace

ExperimentOutcome reproduce_mvl_vae(const ExperimentContext& context, const Ports& ports) {
  const std::vector<Method> methods = variational_methods();
  std::vector<std::string> asked = context.set, set;
  const std::string only = take_method(asked, slugs_of(methods));
  LikelihoodOptions evaluation;
  if (context.scale == "smoke") {
    set = small_networks();
    set.insert(set.end(), {"encoder.hidden=[16]", "decoder.hidden=[16]"});
    evaluation.images = 8;
    evaluation.chains = 2;
    evaluation.temperatures = 8;
    evaluation.leapfrog_steps = 2;
  } else if (context.scale == "desk") {
    set = {"train.steps=20000"};
    evaluation.images = 500;
    evaluation.chains = 2;
    evaluation.temperatures = 1000;
    evaluation.leapfrog_steps = 3;
    evaluation.rows = 500;
  }
  evaluation = take_options(asked, "evaluation", evaluation);
  set.insert(set.end(), asked.begin(), asked.end());
  const std::string dataset =
      load_recipe(find_recipe(methods.front().recipe), set).at_table("data").find("name")->string();
  const auto kept = [&](const std::string& slug) {
    return fmt::format("{}/{}/log-likelihood.npy", context.directory, slug);
  };
  Study study(context, ports, "nll");
  ExperimentOutcome outcome = study.run(methods, only, dataset, set, [&](const Method& method, const Parts& model) {
    MeasuredLikelihood measured = measure_likelihood(model, method.slug, dataset, evaluation, ports);
    write_npy(kept(method.slug), measured.log_likelihood);
    measured.rows[0].published = method.published;
    for (Row& row : measured.rows) row.settings["step"] = static_cast<double>(model.train.steps);
    context.add(measured.rows);
    study.outcome.summary.push_back(measured.summary);
  });
  for (const Method& method : methods) {
    const std::string best = "implicit-sphere" + method.slug.substr(method.slug.rfind('-'));
    if (method.slug == best || !fs::exists(kept(method.slug)) || !fs::exists(kept(best)) ||
        context.measured(method.slug, dataset, "nll_difference"))
      continue;
    const Estimate difference = mean_estimate(read_npy(kept(best)) - read_npy(kept(method.slug)));
    Row row;
    row.method = method.slug;
    row.dataset = dataset;
    row.metric = "nll_difference";
    row.value = difference.value;
    row.standard_error = difference.standard_error;
    row.unit = "nats";
    row.settings["against"] = best;
    context.add({row});
    outcome.summary.push_back(fmt::format("{}: {} nats above {}", method.slug,
                                          format_estimate(difference.value, difference.standard_error), best));
  }
  return outcome;
}

ExperimentOutcome reproduce_mvl_wae(const ExperimentContext& context, const Ports& ports) {
  return Wasserstein(context, ports).run();
}

}  // namespace gibbsite
