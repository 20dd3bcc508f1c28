#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/recipe/deep_eblvm.h>
#include <gibbsite/recipe/parse.h>
#include <gibbsite/recipe/sample.h>
#include <gibbsite/recipe/sample_judge.h>
#include <gibbsite/recipe/train.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

namespace gibbsite {
namespace {

const char* const kRecipe = "vages/deep-eblvm";

struct Method {
  const char* slug;
  bool bilevel;
};
const Method kMethods[] = {{"vages-mdsm", false}, {"bimdsm", true}};

class DeepEblvm {
 public:
  DeepEblvm(const ExperimentContext& context, const Ports& ports) : context_(context), ports_(ports) {
    const bool smoke = context.scale == "smoke";
    options_.batch_size = smoke ? 4 : context.scale == "desk" ? 32 : 100;
    options_.rounds = smoke ? 1 : 7;
    SampleJudgeSettings judging;
    if (smoke) {
      options_.steps = 2;
      options_.samples = 4;
      judging.reference = 48;
      judging.set = {"model.filters=2", "model.features=8",   "train.steps=4", "train.validate_every=2",
                     "data.train=64",   "data.validation=16", "data.test=64",  "train.batch_size=16"};
    } else if (context.scale == "desk") {
      judging.set = {"train.steps=1000"};
    } else {
      options_.steps = 100000;
    }
    std::vector<std::string> asked = context.set;
    options_ = take_experiment_options(asked, options_);
    std::vector<std::string> slugs;
    for (const Method& method : kMethods) slugs.emplace_back(method.slug);
    only_ = take_method(asked, slugs);
    set_ = deep_eblvm_overrides(context.scale);
    set_.insert(set_.end(), asked.begin(), asked.end());
    judging.classifier = options_.classifier;
    judge_ = std::make_unique<SampleJudge>(judging, context_, ports_);
    data_ = requested_recipe(request_of(kMethods[0])).at_table("data").find("name")->string();
  }

  ExperimentOutcome run() {
    const double ratio = cost();
    if (options_.quality())
      for (const Method& method : kMethods) {
        if ((!only_.empty() && only_ != method.slug) || context_.measured(method.slug, data_, "frechet_classifier"))
          continue;
        const double fitting = static_cast<double>(options_.steps) * (method.bilevel ? ratio : 1);
        quality(method, std::max<std::int64_t>(std::llround(fitting), 1));
      }
    return outcome_;
  }

 private:
  const ExperimentContext& context_;
  const Ports& ports_;
  DeepEblvmOptions options_;
  std::vector<std::string> set_;  // of every run
  std::string only_;              // the one method asked for; empty: all
  std::string data_;
  std::unique_ptr<SampleJudge> judge_;
  ExperimentOutcome outcome_;

  TrainRequest request_of(const Method& method) const {
    TrainRequest request;
    request.recipe = kRecipe;
    request.set = set_;
    if (method.bilevel) {
      // The levels stay those of the recipe and its overrides.
      request.set.emplace_back("phase.1.objective.name=bimdsm");
      request.set.emplace_back("phase.1.objective.particles=1");
    }
    request.seed = static_cast<std::int64_t>(context_.seed);
    request.out = fmt::format("{}/{}", context_.directory, method.slug);
    request.path = context_.path;
    return request;
  }

  // Steps of bilevel score matching per step of VaGES at equal time. It decides how long to train, so it is kept.
  double cost() {
    const std::string file = context_.directory + "/time-ratio.pt";
    if (std::filesystem::exists(file)) return read_checkpoint(file).at("ratio").item<double>();
    std::vector<TimedWork> steps;
    for (const Method& method : kMethods)
      steps.push_back(training_round(
          method.slug, std::make_shared<const Parts>(build_parts(requested_recipe(request_of(method)), context_.path)),
          options_.batch_size));
    ports_.logger->info(fmt::format("timing {} methods, {} rounds", steps.size(), options_.rounds));
    const StepCosts costs = measure_work(steps, {{kMethods[0].slug, kMethods[1].slug}}, options_, data_);
    context_.add(costs.rows);
    outcome_.summary = costs.summary;
    double ratio = 1;
    for (const Row& row : costs.rows)
      if (row.metric == "time_ratio") ratio = row.value;
    Checkpoint kept;
    kept.tensors = {{"ratio", torch::full({}, ratio, torch::kDouble)}};
    write_checkpoint(file, kept);
    return ratio;
  }

  void quality(const Method& method, std::int64_t steps) {
    TrainRequest request = request_of(method);
    request.set.push_back(fmt::format("train.steps={}", steps));
    if (ports_.interrupt->requested()) throw Interrupted("reproduce", fmt::format("stopped before {}", method.slug));
    ports_.logger->info(fmt::format("{}: {} steps", method.slug, steps));
    train_or_resume(request, ports_);
    const Parts parts = load_run(RunDirectory::open(request.out), {}, true, context_.path, *ports_.logger);
    const Tensor x = judge_->samples(parts, request.out, steps, options_.samples);
    const std::string picture = fmt::format("{}/{}.png", context_.directory, method.slug);
    write_picture(picture, x, parts, *ports_.logger);
    outcome_.pictures.push_back(read_picture(picture, fmt::format("{}, {} steps", method.slug, steps)));
    const Row distance = judge_->distance(parts, method.slug, x);
    const JudgedDigits digits = judge_->digits(parts, method.slug, x);
    std::vector<Row> rows = {distance, digits.confident, digits.classes};
    for (Row& row : rows) row.settings["step"] = static_cast<double>(steps);
    rows.push_back(judge_->floor(parts, options_.samples));
    context_.add(rows);
    outcome_.summary.push_back(
        fmt::format("{} after {} steps: Fréchet distance {} ({} test images: {}), {}", method.slug, steps,
                    format_estimate(distance.value, distance.standard_error), options_.samples,
                    format_estimate(rows.back().value, rows.back().standard_error), digits.verdict));
    ports_.logger->info(outcome_.summary.back());
  }
};

}  // namespace

std::vector<std::string> deep_eblvm_overrides(const std::string& scale) {
  if (scale == "smoke")
    return {"model.filters=2",
            "model.blocks=1",
            "model.latent_size=3",
            "encoder.filters=2",
            "train.batch_size=4",
            "data.train=64",
            "data.validation=16",
            "data.test=64",
            "sample.annealing.hot_steps=2",
            "sample.annealing.cooling_steps=4",
            "sample.annealing.quench_steps=2"};
  if (scale == "desk")
    return {"model.filters=16",    "model.blocks=1",       "model.latent_size=20", "encoder.filters=16",
            "train.batch_size=32", "train.ema_decay=0.99", "train.clip_norm=100",  "optimizer.learning_rate=1e-3",
            "phase.0.steps=3"};
  return {};
}

ExperimentOutcome reproduce_deep_eblvm(const ExperimentContext& context, const Ports& ports) {
  return DeepEblvm(context, ports).run();
}

}  // namespace gibbsite
