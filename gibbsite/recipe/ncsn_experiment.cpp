#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/metric/classification.h>
#include <gibbsite/metric/cost.h>
#include <gibbsite/recipe/ncsn_experiment.h>
#include <gibbsite/recipe/sample.h>
#include <gibbsite/recipe/sample_judge.h>
#include <gibbsite/recipe/score.h>
#include <gibbsite/recipe/train.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>

namespace gibbsite {
namespace {

namespace fs = std::filesystem;

// Rows per batch of the validation loss.
constexpr std::int64_t kValidationBatch = 32;

struct Scale {
  std::vector<std::string> set;  // of every run
  SampleJudgeSettings judge;
  NcsnExperimentOptions options;
};

Scale scale_of(const std::string& name) {
  Scale scale;
  scale.judge.set = SampleJudgeSettings::of_scale(name);
  if (name == "smoke") {
    scale.set = {"score.filters=2",   "score.levels=2",     "train.batch_size=4",
                 "data.train=64",     "data.validation=16", "sample.annealing.steps_per_level=2",
                 "train.log_every=1", "data.test=64"};
    NcsnExperimentOptions& options = scale.options;
    options.part = "all";
    options.batch_size = 4;
    options.rounds = 1;
    options.steps = options.quality_steps = options.quality_points = 2;
    options.slices = 1;
    options.validation_images = 16;
    options.samples = options.quality_samples = 4;
    options.quality_ema = 0.5;
    scale.judge.reference = 48;
    return scale;
  }
  scale.options.batch_size = 16;
  if (name == "desk") return scale;
  scale.set = {"data.name=cifar10", "data.validation=5000", "score.filters=128", "train.batch_size=128"};
  scale.judge.set = {"data.name=cifar10"};
  scale.options.steps = scale.options.quality_steps = 200000;
  scale.options.slices = 20;
  scale.options.rounds = 5;
  return scale;
}

struct Method {
  const char* slug;
  std::vector<std::string> set;
  bool trained;
  double seconds, bytes;  // Table 5, at 128 filters and batch 128 on four GPUs; 0: not printed
};

const std::vector<Method>& methods() {
  static const std::string nested = "objective.derivative=autograd", stock = "score.operations=stock",
                           fd = "objective.derivative=finite_difference", epsilon = "objective.epsilon=0.1";
  static const std::vector<Method> list = {
      {"jet-ssm-vr", {"objective.derivative=jet"}, true, 0, 0},       {"ssm-vr", {nested}, true, 0, 0},
      {"ssm-vr-stock", {nested, stock}, false, 0.865, 6.4e9},         {"fd-ssm-vr", {fd, epsilon}, true, 0, 0},
      {"fd-ssm-vr-stock", {fd, epsilon, stock}, false, 0.575, 5.5e9},
  };
  return list;
}

const Method& method_of(const std::string& slug) {
  const auto& list = methods();
  return *std::find_if(list.begin(), list.end(), [&](const Method& method) { return slug == method.slug; });
}

// Differences of the validation loss are against this one.
const char* const kReference = "ssm-vr";

class Study {
 public:
  Study(const ExperimentContext& context, const Ports& ports)
      : context_(context),
        ports_(ports),
        scale_(scale_of(context.scale)),
        options_(take_experiment_options(context_.set, scale_.options)),
        judge_(judge_settings(), context_, ports_) {
    data_ = requested_recipe(request_of({})).at_table("data").find("name")->string();
  }

  const NcsnExperimentOptions& options() const { return options_; }
  ExperimentOutcome outcome;

  void parameters() {
    std::vector<Row> rows;
    for (const auto& [filters, published] : {std::pair(128, 30117635.0), std::pair(32, 1966019.0)}) {
      ModelContext context;
      context.event = {3, 32, 32};
      const auto network =
          find_entry(score_table(), "score", "ncsn", "").make(Config::table({{"filters", Config(filters)}}), context);
      double count = 0;
      for (const Tensor& parameter : network->module().parameters()) count += static_cast<double>(parameter.numel());
      rows.push_back(row("ncsn", "parameters", {count}, "1"));
      rows.back().published = published;
      rows.back().settings["filters"] = static_cast<double>(filters);
      outcome.summary.push_back(
          fmt::format("{} filters: {:.0f} parameters (published {:.0f})", filters, count, published));
    }
    context_.add(rows);
  }

  void cost() {
    if (context_.measured("fd-ssm-vr", data_, "seconds_per_step")) return;
    const Parts parts = build_parts(requested_recipe(request_of({})), context_.path);
    std::vector<TimedMethod> timed;
    for (const Method& method : methods()) {
      timed.push_back({method.slug, method.set});
      timed.back().set.insert(timed.back().set.begin(),
                              {"objective.name=noise_conditional", "objective.projection=sphere"});
      if (method.seconds > 0) timed.back().published = method.seconds;
    }
    ports_.logger->info(fmt::format("timing {} methods, {} rounds", timed.size(), options_.rounds));
    StepCosts costs = measure_steps(parts, timed,
                                    {{"jet-ssm-vr", "fd-ssm-vr"},
                                     {"ssm-vr", "fd-ssm-vr"},
                                     {"ssm-vr-stock", "fd-ssm-vr-stock"},
                                     {"jet-ssm-vr", "ssm-vr-stock"},
                                     {"ssm-vr", "ssm-vr-stock"}},
                                    options_);
    const Tensor x = parts.data->loader(parts.dtype).batch(0, options_.batch_size).x.to(parts.device);
    const auto forward = static_cast<double>(count_multiply_adds([&] { target_of(parts).score(x); }).total);
    std::vector<Row> passes = {row("forward", "multiply_adds", {forward}, "multiply-adds")};
    for (Row& made : costs.rows) {
      if (made.metric == "multiply_adds") {
        passes.push_back(row(made.method, "forward_passes", {made.value / forward}, "F"));
        outcome.summary.push_back(fmt::format("{}: {:.2f} F", made.method, made.value / forward));
      }
      if (made.metric == "peak_bytes" && method_of(made.method).bytes > 0)
        made.published = method_of(made.method).bytes;
      if (made.metric == "time_ratio" && made.method == "ssm-vr-stock") made.published = 865.0 / 575;
    }
    costs.rows.insert(costs.rows.end(), passes.begin(), passes.end());
    context_.add(costs.rows);
    outcome.summary.insert(outcome.summary.end(), costs.summary.begin(), costs.summary.end());
  }

  void parity() {
    const std::string last = "fd-ssm-vr";
    std::map<std::string, std::vector<double>> losses;
    std::vector<const Method*> trained;
    for (const Method& method : methods())
      if (method.trained) trained.push_back(&method);
    const bool done = context_.measured(last, data_, "validation_difference");
    for (std::int64_t slice = 1; slice <= options_.slices && !done; ++slice) {
      const std::int64_t step = std::max<std::int64_t>(options_.steps * slice / options_.slices, 1);
      std::vector<Row> rows;
      for (const Method* method : trained) {
        const TrainRequest request = run_of(*method, "parity-", {});
        if (!train_to(request, step)) continue;
        const Parts parts = load_run(RunDirectory::open(request.out), {}, true, context_.path, *ports_.logger);
        losses[method->slug] = validation_losses(parts);
        const Estimate loss = mean_of(losses[method->slug]);
        rows.push_back(row(method->slug, "validation_loss", loss, "1"));
        rows.back().settings["step"] = static_cast<double>(step);
        ports_.logger->info(fmt::format("{}: validation loss {} after {} steps", method->slug,
                                        format_estimate(loss.value, loss.standard_error), step));
      }
      context_.add(rows);
    }
    draw_curves(trained);
    if (done) return;

    std::vector<Row> rows;
    for (const Method* method : trained) {
      std::vector<double> difference = losses.at(method->slug);
      const Estimate loss = mean_of(difference);
      std::string line =
          fmt::format("{}: validation loss {}", method->slug, format_estimate(loss.value, loss.standard_error));
      if (std::string(method->slug) != kReference) {
        for (std::size_t i = 0; i < difference.size(); ++i) difference[i] -= losses.at(kReference)[i];
        const Estimate mean = mean_of(difference);
        rows.push_back(row(method->slug, "validation_difference", mean, "1"));
        rows.back().settings["against"] = std::string(kReference);
        line += fmt::format(", {} from {}", format_estimate(mean.value, mean.standard_error), kReference);
      }
      const std::string run = run_of(*method, "parity-", {}).out;
      const Parts parts = load_run(RunDirectory::open(run), {}, true, context_.path, *ports_.logger);
      const Tensor x = judge_.samples(parts, run, options_.steps, options_.samples);
      const std::string picture = fmt::format("{}/{}.png", context_.directory, method->slug);
      write_picture(picture, x, parts, *ports_.logger);
      outcome.pictures.push_back(
          read_picture(picture, fmt::format("{}, {} steps, seed {}", method->slug, options_.steps, context_.seed)));
      rows.push_back(judge_.distance(parts, method->slug, x));
      const Row& distance = rows.back();
      rows.back().settings["step"] = static_cast<double>(options_.steps);
      line += fmt::format(", Fréchet distance {}", format_estimate(distance.value, distance.standard_error));
      outcome.summary.push_back(line);
      if (method == trained.back()) rows.push_back(floor_row(parts, options_.samples));
    }
    context_.add(rows);
  }

  void quality() {
    const Method& method = method_of(options_.method);
    const TrainRequest request = run_of(method, "quality-", {fmt::format("train.ema_decay={}", options_.quality_ema)});
    Curve curve;
    curve.label = method.slug;
    for (std::int64_t point = 1; point <= options_.quality_points; ++point) {
      const std::int64_t step = std::max<std::int64_t>(options_.quality_steps * point / options_.quality_points, 1);
      train_to(request, step);
      const Parts parts = load_run(RunDirectory::open(request.out), {}, true, context_.path, *ports_.logger);
      const Tensor x = judge_.samples(parts, request.out, step, options_.quality_samples);
      const Row distance = judge_.distance(parts, method.slug, x);
      const JudgedDigits digits = judge_.digits(parts, method.slug, x);
      std::vector<Row> rows = {distance, digits.confident, digits.classes};
      if (point == options_.quality_points) rows.push_back(floor_row(parts, options_.quality_samples));
      for (Row& made : rows) {
        made.settings["part"] = std::string("quality");
        made.settings["samples"] = static_cast<double>(options_.quality_samples);
        if (made.method == method.slug) made.settings["step"] = static_cast<double>(step);
      }
      context_.add(rows);
      outcome.summary.push_back(fmt::format("{} after {} steps: Fréchet distance {}, {}", method.slug, step,
                                            format_estimate(distance.value, distance.standard_error), digits.verdict));
      ports_.logger->info(outcome.summary.back());
      const std::string picture = fmt::format("{}/quality-{}-{}.png", context_.directory, method.slug, step);
      write_picture(picture, x, parts, *ports_.logger);
      if (point == options_.quality_points) {
        outcome.pictures.push_back(read_picture(picture, fmt::format("{}, {} steps", method.slug, step)));
      }
      curve.x.push_back(static_cast<double>(step));
      curve.y.push_back(distance.value);
      curve.error.push_back(distance.standard_error);
    }
    CurvePlot plot;
    plot.title = fmt::format("Fréchet distance of {} samples in classifier features", options_.quality_samples);
    plot.x_label = "step";
    plot.y_label = "distance";
    plot.curves.push_back(std::move(curve));
    add_plot(outcome, context_, ports_, "quality", plot);
  }

 private:
  ExperimentContext context_;
  Ports ports_;
  Scale scale_;
  NcsnExperimentOptions options_;
  std::string data_;
  SampleJudge judge_;

  SampleJudgeSettings judge_settings() const {
    SampleJudgeSettings settings = scale_.judge;
    settings.classifier = options_.classifier;
    return settings;
  }

  Row floor_row(const Parts& parts, std::int64_t n) {
    const Row made = judge_.floor(parts, n);
    outcome.summary.push_back(
        fmt::format("{} test images: Fréchet distance {}", n, format_estimate(made.value, made.standard_error)));
    return made;
  }

  Row row(const std::string& method, const char* metric, const Estimate& estimate, const char* unit) const {
    Row made;
    made.method = method;
    made.dataset = data_;
    made.metric = metric;
    made.value = estimate.value;
    made.standard_error = estimate.standard_error;
    made.unit = unit;
    return made;
  }

  TrainRequest request_of(const std::vector<std::string>& set) const {
    TrainRequest request;
    request.recipe = "fd/ncsn";
    request.set = scale_.set;
    request.set.insert(request.set.end(), set.begin(), set.end());
    request.set.insert(request.set.end(), context_.set.begin(), context_.set.end());
    request.seed = static_cast<std::int64_t>(context_.seed);
    request.path = context_.path;
    return request;
  }

  TrainRequest run_of(const Method& method, const char* prefix, const std::vector<std::string>& more) const {
    std::vector<std::string> set = method.set;
    set.insert(set.end(), more.begin(), more.end());
    TrainRequest request = request_of(set);
    request.out = context_.directory + "/" + prefix + method.slug;
    return request;
  }

  /// Trains the run up to a step, from where an earlier call left it. False if it is past that step.
  bool train_to(TrainRequest request, std::int64_t step) const {
    request.set.push_back(fmt::format("train.steps={}", step));
    const std::vector<std::int64_t> steps =
        fs::exists(request.out) ? CheckpointStore(request.out).steps() : std::vector<std::int64_t>();
    if (!steps.empty() && steps.back() >= step) return steps.back() == step;
    request.existing = steps.empty() ? ExistingRun::kReplace : ExistingRun::kResume;
    if (ports_.interrupt->requested()) throw Interrupted("reproduce", fmt::format("stopped before {}", request.out));
    ports_.logger->info(fmt::format("{} to step {}", request.out, step));
    train_recipe(request, ports_);
    return true;
  }

  /// The loss by jets along Rademacher directions, under noise that is the same for every method: one number per batch of
  /// validation images.
  std::vector<double> validation_losses(const Parts& parts) const {
    const torch::NoGradGuard no_graph;
    const Config options = Config::table({{"derivative", Config("jet")}, {"projection", Config("rademacher")}});
    ObjectiveParts needed;
    needed.score = parts.score.get();
    const auto objective = find_entry(objective_table(), "objective", "noise_conditional", "").make(options, needed);
    const Tensor all = parts.data->prepared(parts.data->splits.validation, "validation", parts.dtype);
    const Tensor x = all.narrow(0, 0, std::min(options_.validation_images, all.size(0))).to(parts.device);
    const std::int64_t batch_size = std::min(kValidationBatch, x.size(0) / 2);
    std::vector<double> losses;
    for (std::int64_t first = 0; first + batch_size <= x.size(0); first += batch_size) {
      Batch batch;
      batch.x = x.narrow(0, first, batch_size);
      Rng rng = parts.rng("validation-loss").at_row(first);
      losses.push_back((*objective)(batch, rng).log.front().second.item<double>());
    }
    return losses;
  }

  static Estimate mean_of(const std::vector<double>& terms) {
    return mean_estimate(torch::tensor(terms, torch::kDouble));
  }

  /// Training losses, ten logged values averaged to one.
  void draw_curves(const std::vector<const Method*>& trained) {
    CurvePlot plot;
    plot.title = "training loss";
    plot.x_label = "step";
    plot.y_label = "loss";
    plot.points = false;
    constexpr std::size_t kAverage = 10;
    for (const Method* method : trained) {
      Curve curve;
      curve.label = method->slug;
      double sum = 0;
      std::size_t terms = 0;
      for (const MetricLine& line : read_metrics(run_of(*method, "parity-", {}).out + "/metrics.jsonl"))
        for (const auto& [name, value] : line.numbers) {
          if (name != "loss") continue;
          sum += value;
          if (++terms < kAverage) continue;
          curve.x.push_back(static_cast<double>(line.step));
          curve.y.push_back(sum / kAverage);
          sum = 0;
          terms = 0;
        }
      if (!curve.x.empty()) plot.curves.push_back(std::move(curve));
    }
    if (!plot.curves.empty()) add_plot(outcome, context_, ports_, "training", plot);
  }
};

}  // namespace

ExperimentOutcome reproduce_ncsn(const ExperimentContext& context, const Ports& ports) {
  Study study(context, ports);
  study.parameters();
  if (study.options().cost()) study.cost();
  if (study.options().parity()) study.parity();
  if (study.options().quality()) study.quality();
  return std::move(study.outcome);
}

}  // namespace gibbsite
