#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/text.h>
#include <gibbsite/objective/entropy.h>
#include <gibbsite/recipe/autoencoder_study.h>
#include <gibbsite/recipe/implicit_autoencoder.h>
#include <gibbsite/recipe/parse.h>
#include <gibbsite/recipe/step_cost.h>
#include <gibbsite/recipe/train.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <map>
#include <memory>

namespace gibbsite {
namespace {

struct Method {
  const char* slug;
  std::vector<std::string> set;
};

// A score network is fitted by the first phase, the auto-encoder by the last.
const Method kMethods[] = {
    {"ssm-vr", {"phase.0.objective.derivative=autograd"}},
    {"fd-ssm-vr",
     {"phase.0.objective.derivative=finite_difference", "phase.0.objective.projection=sphere",
      "phase.0.objective.epsilon=0.1"}},
    {"jet-ssm-vr", {"phase.0.objective.derivative=jet"}},
    {"spectral", {"estimator.name=spectral"}},
    {"stein", {"estimator.name=stein"}},
};

// Timed beside them.
const Method kStockMethods[] = {
    {"ssm-vr-stock", {"phase.0.objective.derivative=autograd", "score.operations=stock"}},
    {"fd-ssm-vr-stock",
     {"phase.0.objective.derivative=finite_difference", "phase.0.objective.projection=sphere",
      "phase.0.objective.epsilon=0.1", "score.operations=stock"}},
};

bool by_kernels(const Method& method) { return method.set.front().rfind("estimator.", 0) == 0; }

struct Published {
  double nll, seconds;  ///< 0: not comparable
};

// What differs between the two experiments.
struct Family {
  const char* recipe;  // with a score network; that of kernels is "<recipe>-kernel"
  bool aggregate;      // kernels take the codes of a batch as one law
  std::map<std::string, Published> published;
  double ratio;  // published, of the time of ssm-vr and that of fd-ssm-vr
};

const Family& variational() {
  static const Family family = {
      "fd/implicit-vae", false, {{"ssm-vr", {89.58, 5.04e-3}}, {"fd-ssm-vr", {88.96, 3.98e-3}}}, 1.27};
  return family;
}

// The published times were summed over every tenth step and divided by all.
const Family& wasserstein() {
  static const Family family = {"fd/implicit-wae", true, {{"ssm-vr", {90.45, 0}}, {"fd-ssm-vr", {90.66, 0}}}, 1.41};
  return family;
}

struct Scale {
  std::vector<std::string> set;
  std::int64_t particles;  // of kernel estimates per image
  std::int64_t batch, rounds;
  LikelihoodOptions evaluation;
};

Scale scale_of(const std::string& name, const Family& family) {
  Scale scale;
  scale.evaluation.rows = family.aggregate ? 128 : 32;
  if (name == "smoke") {
    scale.set = {"train.steps=6",       "train.batch_size=16", "data.train=256",
                 "data.validation=16",  "data.test=16",        "encoder.hidden=[16]",
                 "decoder.hidden=[16]", "score.hidden=[16]",   "train.checkpoint_every=3"};
    scale.particles = 4;
    scale.batch = 16;
    scale.rounds = 1;
    scale.evaluation.images = 8;
    scale.evaluation.chains = 2;
    scale.evaluation.temperatures = 8;
    scale.evaluation.leapfrog_steps = 2;
    return scale;
  }
  scale.particles = 100;
  scale.batch = 128;
  scale.rounds = family.aggregate ? 101 : 25;
  if (name == "desk") {
    scale.set = {family.aggregate ? "train.steps=12000" : "train.steps=6000"};
    scale.particles = 20;
    scale.evaluation.images = 500;
    scale.evaluation.chains = 4;
    // For the same work, more temperatures of shorter transitions leave less of a bias.
    scale.evaluation.temperatures = 1500;
    scale.evaluation.leapfrog_steps = 4;
    scale.evaluation.rows = 500;
  }
  return scale;
}

// The assignments that a recipe without a score network has a place for.
std::vector<std::string> without_score(const std::vector<std::string>& set) {
  std::vector<std::string> kept;
  for (const std::string& assignment : set)
    if (assignment.rfind("score.", 0) != 0) kept.push_back(assignment);
  return kept;
}

class Runner {
 public:
  Runner(const Family& family, const ExperimentContext& context, const Ports& ports)
      : family_(family), context_(context), ports_(ports), scale_(scale_of(context.scale, family)) {
    std::vector<std::string> slugs, asked = context.set, set;
    for (const Method& method : kMethods) slugs.emplace_back(method.slug);
    only_ = take_method(asked, slugs);
    scale_.evaluation = take_options(asked, "evaluation", scale_.evaluation);
    for (const std::string& assignment : asked) {
      if (assignment.rfind("particles=", 0) == 0)
        scale_.particles = parse_value(assignment.substr(10), "--set particles").integer();
      else
        set.push_back(assignment);
    }
    TrainedExperimentOptions timing;
    timing.batch_size = scale_.batch;
    timing.rounds = scale_.rounds;
    timing_ = take_experiment_options(set, timing);
    scale_.set.insert(scale_.set.end(), set.begin(), set.end());
    dataset_ = load_recipe(find_recipe(family.recipe), scale_.set).at_table("data").find("name")->string();
  }

  ExperimentOutcome run() {
    for (const Method& method : kMethods) {
      if (!timing_.quality() || (!only_.empty() && only_ != method.slug)) continue;
      if (context_.measured(method.slug, dataset_, "nll")) continue;
      if (ports_.interrupt->requested()) throw Interrupted("reproduce", fmt::format("stopped before {}", method.slug));
      measure(method);
    }
    if (timing_.cost() && only_.empty() && !context_.measured("ssm-vr", dataset_, "seconds_per_step")) time_scores();
    if (outcome_.summary.empty()) outcome_.summary.emplace_back("every row was there already");
    return outcome_;
  }

 private:
  const Family& family_;
  const ExperimentContext& context_;
  const Ports& ports_;
  Scale scale_;
  std::string only_;  // the one method asked for; empty: all
  TrainedExperimentOptions timing_;
  std::string dataset_;
  ExperimentOutcome outcome_;

  TrainRequest request_for(const Method& method) const {
    TrainRequest request;
    request.recipe = family_.recipe;
    request.set = method.set;
    if (by_kernels(method)) {
      request.recipe += "-kernel";
      request.set.push_back(fmt::format("phase.0.objective.aggregate={}", family_.aggregate));
      if (!family_.aggregate) request.set.push_back(fmt::format("phase.0.objective.particles={}", scale_.particles));
    }
    const std::vector<std::string> set = by_kernels(method) ? without_score(scale_.set) : scale_.set;
    request.set.insert(request.set.end(), set.begin(), set.end());
    request.seed = static_cast<std::int64_t>(context_.seed);
    request.out = fmt::format("{}/{}", context_.directory, method.slug);
    request.path = context_.path;
    return request;
  }

  // Trains one method, or goes on where an interrupted call stopped, and measures it.
  void measure(const Method& method) {
    ports_.logger->info(fmt::format("{}: training", method.slug));
    const TrainRequest request = request_for(method);
    train_or_resume(request, ports_);
    const Parts model = load_run(RunDirectory::open(request.out), {}, true, context_.path, *ports_.logger);
    model.freeze();

    MeasuredLikelihood measured = measure_likelihood(model, method.slug, dataset_, scale_.evaluation, ports_);
    const auto published = family_.published.find(method.slug);
    if (published != family_.published.end()) measured.rows[0].published = published->second.nll;
    context_.add(measured.rows);
    outcome_.summary.push_back(measured.summary);
    outcome_.pictures.push_back(
        decoded_picture(model, fmt::format("{}/{}/samples.png", context_.directory, method.slug), method.slug, ports_));
  }

  // The update of the score alone: codes, loss, gradients, optimiser; with kernels codes and estimate.
  static Work score_update(const std::shared_ptr<const Parts>& model, const Batch& batch) {
    if (model->estimator) {
      const Config& objective = *model->resolved.find("phase")->items().front().find("objective");
      const auto particles = objective.find("particles")->integer();
      const EntropyScore score = kernel_entropy_score(*model->estimator, objective.find("aggregate")->boolean());
      return [model, score, particles, &batch] {
        const torch::NoGradGuard no_grad;
        Rng rng(2, "step");
        score(batch.x, model->encoder->sample(batch.x, particles, rng), rng);
      };
    }
    const PhaseParts& phase = model->phases.front();
    NamedTensors named_parameters;
    for (const auto& item : model->code_score->module().named_parameters())
      named_parameters.emplace_back(item.key(), item.value());
    const std::shared_ptr<Optimizer> optimizer = make_optimizer(phase.optimizer, named_parameters);
    return [model, optimizer, &phase, &batch] {
      Rng rng(2, "step");
      const Loss loss = (*phase.objective)(batch, rng);
      const std::vector<Tensor> gradients =
          torch::autograd::grad({loss.backward}, model->code_score->module().parameters(), {}, {}, false, true);
      optimizer->step(gradients, 0);
    };
  }

  void time_scores() {
    std::vector<TimedWork> timed;
    Batch batch;
    const auto add = [&](const Method& method) {
      const auto model =
          std::make_shared<const Parts>(build_parts(requested_recipe(request_for(method)), context_.path));
      if (!batch.x.defined()) {
        batch.x = model->data->loader(model->dtype).batch(0, timing_.batch_size).x;
        batch.global_size = batch.x.size(0);
      }
      TimedWork made;
      made.slug = method.slug;
      made.work = score_update(model, batch);
      const auto published = family_.published.find(method.slug);
      if (published != family_.published.end() && published->second.seconds > 0)
        made.published = published->second.seconds;
      timed.push_back(std::move(made));
    };
    for (const Method& method : kMethods) add(method);
    for (const Method& method : kStockMethods) add(method);
    std::vector<TimedRatio> ratios = {{"ssm-vr-stock", "fd-ssm-vr-stock", family_.ratio},
                                      {"ssm-vr", "ssm-vr-stock"},
                                      {"fd-ssm-vr", "ssm-vr-stock"},
                                      {"jet-ssm-vr", "ssm-vr-stock"},
                                      {"spectral", "ssm-vr-stock"},
                                      {"stein", "ssm-vr-stock"},
                                      {"jet-ssm-vr", "fd-ssm-vr"},
                                      {"ssm-vr", "fd-ssm-vr"}};
    const StepCosts costs = measure_work(timed, ratios, timing_, dataset_);
    context_.add(costs.rows);
    outcome_.summary.insert(outcome_.summary.end(), costs.summary.begin(), costs.summary.end());
  }
};

}  // namespace

ExperimentOutcome reproduce_implicit_vae(const ExperimentContext& context, const Ports& ports) {
  return Runner(variational(), context, ports).run();
}

ExperimentOutcome reproduce_implicit_wae(const ExperimentContext& context, const Ports& ports) {
  return Runner(wasserstein(), context, ports).run();
}

}  // namespace gibbsite
