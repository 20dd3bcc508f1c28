#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/metric/aggregate_posterior.h>
#include <gibbsite/model/conjugate_energy.h>
#include <gibbsite/recipe/cebm_models.h>
#include <gibbsite/recipe/cebm_stability.h>
#include <gibbsite/recipe/parse.h>
#include <gibbsite/recipe/step_cost.h>
#include <gibbsite/recipe/train.h>
#include <gibbsite/train/diverged.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace gibbsite {
namespace {

const char* const kMethod = "cebm-pcd";

struct StabilityOptions {
  std::int64_t trainings = 20;
  std::int64_t steps = 500;
  void declare(OptionVisitor& o) {
    o.option("trainings", trainings, "seeds of each rate", at_least(1));
    o.option("steps", steps, "updates of a training", at_least(1));
  }
};

struct Finished {
  std::string run;
  TrainResult result;
  bool failed = false;  // it came back to its snapshots too often, or ended in what is not a number
};

class Stability {
 public:
  Stability(const ExperimentContext& context, const Ports& ports) : context_(context), ports_(ports) {
    if (context.scale == "smoke") {
      options_ = {2, 4};
      set_ = {"train.batch_size=8", "data.train=80", "data.test=64"};
    }
    std::vector<std::string> asked = context.set;
    options_ = take_experiment_options(asked, options_);
    take_method(asked, {kMethod});
    for (std::string& assignment : asked)
      if (assigned_key(assignment) == "data") assignment.insert(assignment.find('='), ".name");
    if (context.scale != "paper") {
      const std::vector<std::string>& plan = cebm_model(kMethod).set;
      set_.insert(set_.begin(), plan.begin(), plan.end());
    }
    set_.insert(set_.end(), {fmt::format("train.steps={}", options_.steps), "train.checkpoint_every=1000000"});
    set_.insert(set_.end(), asked.begin(), asked.end());
    const Config recipe = load_recipe(find_recipe("cebm/mnist"), set_);
    data_ = recipe.at_table("data").find("name")->string();
    require_image_classes(data_, context.path);
    rate_ = recipe.at_table("optimizer").find("learning_rate")->real();
  }

  ExperimentOutcome run() {
    for (const double factor : {1.0, 3.0}) many(factor);
    for (const double magnitude : {5e-3, 0.1})
      for (const std::int64_t steps : {20, 60})
        for (const std::int64_t size : {32, 128}) setting(magnitude, steps, size);
    return outcome_;
  }

 private:
  const ExperimentContext& context_;
  const Ports& ports_;
  StabilityOptions options_;
  std::vector<std::string> set_;
  std::string data_;
  double rate_ = 0;
  ExperimentOutcome outcome_;

  Finished train(const std::string& name, std::int64_t seed, const std::vector<std::string>& set) const {
    if (ports_.interrupt->requested()) throw Interrupted("reproduce", "stopped before " + name);
    TrainRequest request;
    request.recipe = "cebm/mnist";
    request.set = set_;
    request.set.insert(request.set.end(), set.begin(), set.end());
    request.seed = seed;
    request.out = fmt::format("{}/{}-{}", context_.directory, name, data_);
    request.path = context_.path;
    request.existing = ExistingRun::kReplace;
    Finished finished;
    finished.run = request.out;
    try {
      finished.result = train_recipe(request, ports_).result;
      for (const auto& [number, value] : finished.result.last) finished.failed |= !std::isfinite(value);
    } catch (const Diverged& error) {
      ports_.logger->warn(error.what());
      finished.failed = true;
      finished.result.rollbacks = error.rollbacks();
    }
    return finished;
  }

  Row row(const char* metric, const Estimate& estimate) const {
    Row made;
    made.method = kMethod;
    made.dataset = data_;
    made.metric = metric;
    made.value = estimate.value;
    made.standard_error = estimate.standard_error;
    made.unit = "1";
    return made;
  }

  std::vector<Row> outcome_of(const Finished& one) const {
    return {row("failures", {one.failed ? 1.0 : 0.0}), row("rollbacks", {static_cast<double>(one.result.rollbacks)})};
  }

  std::vector<Row> rows_of(const char* metric) const {
    std::vector<Row> rows = rows_of_seed(context_, kMethod, metric);
    rows.erase(std::remove_if(rows.begin(), rows.end(), [&](const Row& row) { return row.dataset != data_; }),
               rows.end());
    return rows;
  }

  bool present(const char* metric, const std::vector<std::pair<std::string, double>>& settings) const {
    const std::vector<Row> rows = rows_of(metric);
    return std::any_of(rows.begin(), rows.end(), [&](const Row& row) {
      return std::all_of(settings.begin(), settings.end(),
                         [&](const auto& of) { return number_of(row, of.first) == of.second; });
    });
  }

  void add(std::vector<Row> rows, const std::vector<std::pair<std::string, double>>& settings) const {
    for (Row& made : rows)
      for (const auto& [key, value] : settings) made.settings[key] = value;
    context_.add(rows);
  }

  void many(double factor) {
    const std::pair<std::string, double> rate = {"rate", factor},
                                         all = {"trainings", static_cast<double>(options_.trainings)};
    if (present("failures", {rate, all})) return;
    for (std::int64_t k = 0; k < options_.trainings; ++k) {
      const std::pair<std::string, double> training = {"training", static_cast<double>(k)};
      if (present("failures", {rate, training})) continue;
      const Finished one = train("blow-up", static_cast<std::int64_t>(context_.seed) * 1000 + k,
                                 {fmt::format("optimizer.learning_rate={}", rate_ * factor)});
      add(outcome_of(one), {rate, training});
    }
    const auto counts = [&](const char* metric) {
      std::vector<double> found;
      for (const Row& row : rows_of(metric))
        if (number_of(row, "rate") == factor && number_of(row, "training") < options_.trainings)
          found.push_back(row.value);
      return found;
    };
    const std::vector<double> failed = counts("failures"), rollbacks = counts("rollbacks");
    const double failures = std::accumulate(failed.begin(), failed.end(), 0.0),
                 total = std::accumulate(rollbacks.begin(), rollbacks.end(), 0.0);
    add({row("failures", {failures}), row("rollbacks", {total})}, {rate, all});
    outcome_.summary.push_back(fmt::format("{} x the rate: {} of {} trainings failed, {} rolled back ({} times in all)",
                                           factor, failures, failed.size(),
                                           failed.size() - std::count(rollbacks.begin(), rollbacks.end(), 0.0), total));
    ports_.logger->info(outcome_.summary.back());
  }

  void setting(double magnitude, std::int64_t steps, std::int64_t size) {
    const std::vector<std::pair<std::string, double>> settings = {
        {"magnitude", magnitude}, {"steps", static_cast<double>(steps)}, {"latent_size", static_cast<double>(size)}};
    if (present("failures", settings) || present("accuracy", settings)) return;
    const Finished one =
        train(fmt::format("c-{}-steps-{}-size-{}", magnitude, steps, size), static_cast<std::int64_t>(context_.seed),
              {fmt::format("objective.magnitude={}", magnitude), fmt::format("objective.steps={}", steps),
               fmt::format("model.latent_size={}", size)});
    std::vector<Row> rows = outcome_of(one);
    std::string line = fmt::format("c = {}, {} steps, {} numbers:", magnitude, steps, size);
    if (one.failed) {
      line += " failed";
    } else {
      for (const auto& [number, value] : one.result.last)
        if (number == "main/energy_gap") rows.push_back(row("energy_gap", {value}));
      measure(one.run, rows, line);
    }
    add(std::move(rows), settings);
    outcome_.summary.push_back(line);
    ports_.logger->info(line);
  }

  void measure(const std::string& run, std::vector<Row>& rows, std::string& line) const {
    const Parts parts = load_run(RunDirectory::open(run), {}, true, context_.path, *ports_.logger);
    parts.freeze();
    const Splits& splits = parts.data->splits;
    AggregateOptions aggregate;
    aggregate.batches = 5;
    if (context_.scale == "smoke") aggregate.batch_size = 16;
    const auto& conjugate = dynamic_cast<const ConjugateEnergy&>(*parts.energy);
    const Tensor x =
        splits.train.x.narrow(0, 0, std::min(splits.train.size(), aggregate.batches * aggregate.batch_size));
    const AggregatePosterior found = aggregate_posterior(
        *parts.encoder, [&](const Tensor& z) { return conjugate.log_bias(z); },
        parts.transforms.pipeline.forward(x).to(parts.like().options()), splits.train.size(), aggregate,
        parts.rng("aggregate"), ports_);
    rows.push_back(row("mutual_information", found.information));
    rows.back().unit = "nats";
    const std::int64_t labels = context_.scale == "smoke" ? 1 : 10;
    const Estimate right = few_label_accuracy(labelled_codes(parts, splits.train, ports_),
                                              labelled_codes(parts, splits.test, ports_), labels);
    rows.push_back(row("accuracy", right));
    rows.back().settings["labels"] = static_cast<double>(labels);
    line += fmt::format(" information {}, accuracy {:.3f}",
                        format_estimate(found.information.value, found.information.standard_error), right.value);
  }
};

}  // namespace

ExperimentOutcome reproduce_cebm_stability(const ExperimentContext& context, const Ports& ports) {
  return Stability(context, ports).run();
}

}  // namespace gibbsite
