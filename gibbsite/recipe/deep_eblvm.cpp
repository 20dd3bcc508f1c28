#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/posterior/variational_score.h>
#include <gibbsite/recipe/deep_eblvm.h>
#include <gibbsite/recipe/parse.h>
#include <gibbsite/recipe/sample.h>
#include <gibbsite/recipe/sample_judge.h>
#include <gibbsite/recipe/train.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>

namespace gibbsite {
namespace {

const char* const kRecipe = "vages/deep-eblvm";

struct Method {
  const char* slug;
  bool bilevel;
};
// Divergences of a run that was given up: more than it may go back.
constexpr double kGivenUp = 6;

const Method kMethods[] = {{"vages-mdsm", false}, {"bimdsm", true}};

class DeepEblvm {
 public:
  DeepEblvm(const ExperimentContext& context, const Ports& ports) : context_(context), ports_(ports) {
    const bool smoke = context.scale == "smoke";
    options_.batch_size = smoke ? 4 : context.scale == "desk" ? 32 : 100;
    options_.rounds = smoke ? 1 : 7;
    SampleJudgeSettings judging;
    judging.set = SampleJudgeSettings::of_scale(context.scale);
    if (smoke) {
      options_.steps = options_.sweep_steps = 2;
      options_.sweep_images = 8;
      options_.samples = 4;
      judging.reference = 48;
    } else if (context.scale == "paper") {
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
    if (options_.part == "sweep") {
      sweep();
      return outcome_;
    }
    const double ratio = cost();
    if (options_.part != "cost")
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

  struct Setting {
    std::string factor, level;
    std::vector<std::string> set;
  };

  // Section 4.2 of the paper: one thing at a time is changed of the recipe at this scale.
  std::vector<Setting> settings() const {
    std::vector<Setting> all = {{"none", "recipe", {}}};
    const auto add = [&](const std::string& factor, const std::string& key, const std::vector<std::string>& levels) {
      for (const std::string& level : levels) all.push_back({factor, level, {key + "=" + level}});
    };
    // The step of the corrector grows with the latent variables.
    for (const std::int64_t size : {10, 50})
      all.push_back({"latent_size",
                     std::to_string(size),
                     {fmt::format("model.latent_size={}", size), fmt::format("corrector.step_size={}", 2e-4 * size)}});
    add("blocks", "model.blocks", {"2"});
    add("particles", "variational_score.particles", {"5", "10"});
    for (const auto& [k, s] : {std::pair(0, 0), std::pair(5, 0), std::pair(0, 5), std::pair(5, 5), std::pair(10, 0)}) {
      std::vector<std::string> set = {fmt::format("corrector.steps={}", s)};
      // No update of the encoder is no phase.
      if (k > 0)
        set.push_back(fmt::format("phase.0.steps={}", k));
      else
        set.emplace_back(
            "phase=[{name=\"model\", trains=[\"model\"], objective={name=\"mdsm\", sigma=0.1, sigma_min=0.1, "
            "sigma_max=3.0, spacing=\"geometric\", factor=0.5}}]");
      all.push_back({"inner_and_corrector", fmt::format("{}, {}", k, s), set});
    }
    add("corrector_noise", "corrector.noise", {"0", "1e-3", "1e-2"});
    add("divergence", "phase.0.objective.name", {"posterior_kl"});
    return all;
  }

  void sweep() {
    for (const Setting& setting : settings()) {
      TrainRequest request = request_of(kMethods[0]);
      request.set.insert(request.set.end(), setting.set.begin(), setting.set.end());
      request.set.push_back(fmt::format("train.steps={}", options_.sweep_steps));
      std::string name = fmt::format("sweep-{}-{}", setting.factor, setting.level);
      std::replace_if(
          name.begin(), name.end(), [](char c) { return c == ' ' || c == ','; }, '-');
      request.out = fmt::format("{}/{}", context_.directory, name);
      if (ports_.interrupt->requested()) throw Interrupted("reproduce", fmt::format("stopped before {}", request.out));
      ports_.logger->info(fmt::format("{} = {}", setting.factor, setting.level));
      double divergences = 0;
      Estimate loss;
      try {
        divergences = static_cast<double>(train_or_resume(request, ports_).result.rollbacks);
        loss = validation_loss(load_run(RunDirectory::open(request.out), {}, true, context_.path, *ports_.logger));
      } catch (const Interrupted&) {
        throw;
      } catch (const WorkError& error) {
        // A run that is given up counts as what it is.
        ports_.logger->warn(error.what());
        divergences = kGivenUp;
        loss.value = loss.standard_error = std::numeric_limits<double>::quiet_NaN();
      }
      std::vector<Row> rows(2);
      for (Row& row : rows) {
        row.method = kMethods[0].slug;
        row.dataset = data_;
        row.unit = "1";
        row.settings["factor"] = setting.factor;
        row.settings["level"] = setting.level;
        row.settings["step"] = static_cast<double>(options_.sweep_steps);
      }
      rows[0].metric = "validation_loss";
      rows[0].value = loss.value;
      rows[0].standard_error = loss.standard_error;
      rows[1].metric = "divergences";
      rows[1].value = divergences;
      context_.add(rows);
      outcome_.summary.push_back(fmt::format("{} = {}: validation loss {}, {:.0f} divergences", setting.factor,
                                             setting.level, format_estimate(loss.value, loss.standard_error),
                                             divergences));
    }
  }

  // Batch by batch, the same noise for every run.
  Estimate validation_loss(const Parts& parts) const {
    parts.freeze();
    VariationalScoreOptions draws;
    draws.particles = 5;
    const auto score =
        make_variational_score(draws, *parts.latent_model, parts.corrected ? *parts.corrected : *parts.encoder);
    ObjectiveParts needed;
    needed.variational_score = score.get();
    Config recipe = requested_recipe(request_of(kMethods[0]));
    const auto objective =
        find_entry(objective_table(), "objective", "mdsm", "").make(recipe.at_path("phase.1.objective"), needed);
    const Tensor all = parts.data->prepared(parts.data->splits.validation, "validation", parts.dtype);
    const std::int64_t rows = std::min(options_.sweep_images, all.size(0)), size = std::min<std::int64_t>(32, rows / 2);
    std::vector<double> losses;
    for (std::int64_t first = 0; first + size <= rows; first += size) {
      Batch batch;
      batch.x = all.narrow(0, first, size).to(parts.device);
      Rng rng = Rng(context_.seed, "validation-loss").at_row(first);
      losses.push_back((*objective)(batch, rng).log.front().second.item<double>());
    }
    return mean_estimate(torch::tensor(losses, torch::kDouble));
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
  // The corrector's step is that of the sheet, 2e-4 per latent variable.
  if (scale == "desk")
    return {"model.filters=16",
            "model.blocks=1",
            "model.latent_size=20",
            "encoder.filters=16",
            "corrector.step_size=4e-3",
            "phase.0.steps=3",
            "train.batch_size=32",
            "train.ema_decay=0.99",
            "train.clip_norm=100",
            "optimizer.learning_rate=5e-4",
            "schedule.warmup=50",
            "sample.annealing.hot_steps=200",
            "sample.annealing.cooling_steps=1000",
            "sample.annealing.quench_steps=100"};
  return {};
}

ExperimentOutcome reproduce_deep_eblvm(const ExperimentContext& context, const Ports& ports) {
  return DeepEblvm(context, ports).run();
}

}  // namespace gibbsite
