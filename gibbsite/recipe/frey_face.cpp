#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/metric/score_matching_loss.h>
#include <gibbsite/recipe/frey_face.h>
#include <gibbsite/recipe/parse.h>
#include <gibbsite/recipe/train.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>

namespace gibbsite {
namespace {

// One point of the grid: a method, its draws L, updates of the encoder K and unrolled updates N.
struct Point {
  std::string slug;
  std::int64_t particles, inner, unroll;  // unroll < 0: VaGES, which has none

  std::string name() const { return fmt::format("{}-{}-{}", slug, particles, inner); }
  std::vector<std::string> set() const {
    std::vector<std::string> set = {fmt::format("phase.0.steps={}", inner)};
    if (unroll < 0)
      set.push_back(fmt::format("variational_score.particles={}", particles));
    else
      set.push_back(
          fmt::format("phase.1.objective={{name=\"bidsm\", sigma=0.3, particles={}, unroll={}}}", particles, unroll));
    return set;
  }
  void describe(Row& row) const {
    row.settings["particles"] = static_cast<double>(particles);
    row.settings["inner"] = static_cast<double>(inner);
    if (unroll >= 0) row.settings["unroll"] = static_cast<double>(unroll);
  }
};

constexpr const char* kVages = "vages-dsm";

std::vector<Point> points_at(std::int64_t particles, std::int64_t inner, const std::vector<std::int64_t>& unroll) {
  std::vector<Point> points = {{kVages, particles, inner, -1}};
  for (const std::int64_t n : unroll) points.push_back({fmt::format("bidsm-{}", n), particles, inner, n});
  return points;
}

std::vector<std::string> scale_overrides(const std::string& scale, FreyFaceOptions& options) {
  if (scale == "smoke") {
    options.particles = options.trained_particles = {2};
    options.inner = options.trained_inner = {1};
    options.unroll = {0, 2};
    options.rounds = 3;
    options.batch_size = 8;
    options.checks = 2;
    options.chains = 8;
    options.temperatures = 10;
    return {"model.latent_size=6", "train.steps=4", "train.batch_size=8"};
  }
  if (scale == "desk") {
    options.rounds = 5;
    options.chains = 100;
    options.temperatures = 1000;
    return {"train.steps=1500", "optimizer.learning_rate=1e-3"};
  }
  options.particles = options.trained_particles = {2, 4, 6, 8, 10};
  options.inner = options.trained_inner = {1, 2, 3, 4, 5};
  options.checks = 10;
  return {};
}

// What is known of one checkpoint.
struct Measured {
  std::int64_t step = 0;
  double validation = 0;
  Estimate test, loss;
};

class FreyFace {
 public:
  FreyFace(const ExperimentContext& context, const Ports& ports) : context_(context), ports_(ports) {
    options_.batch_size = 100;
    set_ = scale_overrides(context.scale, options_);
    std::vector<std::string> asked = context.set, slugs = {kVages};
    options_ = take_experiment_options(asked, options_);
    for (const std::int64_t n : options_.unroll) slugs.push_back(fmt::format("bidsm-{}", n));
    only_ = take_method(asked, slugs);
    set_.insert(set_.end(), asked.begin(), asked.end());
    const Config recipe = recipe_of({});
    data_ = recipe.at_table("data").find("name")->string();
    steps_ = recipe.at_table("train").find("steps")->integer();
  }

  ExperimentOutcome run() {
    if (options_.cost() && only_.empty() && !context_.measured(kVages, data_, "mean_time_ratio")) cost();
    if (options_.quality())
      for (const std::int64_t l : options_.trained_particles)
        for (const std::int64_t k : options_.trained_inner)
          for (const Point& point : points_at(l, k, options_.unroll))
            if (only_.empty() || only_ == point.slug) measure(point);
    const std::pair<const char*, const CurvePlot*> plots[] = {
        {"likelihood", &likelihood_}, {"loss", &loss_}, {"seconds", &seconds_}, {"bytes", &bytes_}};
    for (const auto& [name, plot] : plots)
      if (!plot->curves.empty()) add_plot(outcome_, context_, ports_, name, *plot);
    return outcome_;
  }

 private:
  const ExperimentContext& context_;
  const Ports& ports_;
  FreyFaceOptions options_;
  std::vector<std::string> set_;  // of every recipe
  std::string only_;              // the one method asked for; empty: all
  std::string data_;
  std::int64_t steps_ = 0;
  ExperimentOutcome outcome_;
  CurvePlot likelihood_{"test log-likelihood of the best checkpoint, nats", "draws L"},
      loss_{"test score-matching loss", "draws L"}, seconds_{"seconds per step", "draws L"},
      bytes_{"peak bytes of a step", "draws L"};

  Config recipe_of(const std::vector<std::string>& more) const {
    std::vector<std::string> set = set_;
    set.insert(set.end(), more.begin(), more.end());
    set.push_back(fmt::format("seed={}", context_.seed));
    return load_recipe(find_recipe("vages/frey-face"), set);
  }

  // Adds a point to the curve of its method and K.
  static void plot(CurvePlot& plot, const Point& point, double y, double error) {
    const std::string label = fmt::format("{}, K = {}", point.slug, point.inner);
    auto curve = std::find_if(plot.curves.begin(), plot.curves.end(), [&](const Curve& c) { return c.label == label; });
    if (curve == plot.curves.end()) {
      plot.curves.push_back({label, {}, {}, {}});
      curve = plot.curves.end() - 1;
    }
    curve->x.push_back(static_cast<double>(point.particles));
    curve->y.push_back(y);
    curve->error.push_back(std::isfinite(error) ? error : 0);
  }

  void cost() {
    std::map<std::string, std::vector<double>> time, memory;  // by what VaGES is compared with
    std::vector<Row> rows;
    for (const std::int64_t l : options_.particles)
      for (const std::int64_t k : options_.inner) {
        if (ports_.interrupt->requested()) throw Interrupted("reproduce", "stopped while timing");
        ports_.logger->info(fmt::format("timing L = {}, K = {}", l, k));
        const std::vector<Point> points = points_at(l, k, options_.unroll);
        std::vector<TimedWork> steps;
        std::vector<TimedRatio> ratios;
        for (const Point& point : points) {
          const auto parts = std::make_shared<const Parts>(build_parts(recipe_of(point.set()), context_.path));
          steps.push_back(training_round(point.slug, parts, options_.batch_size));
          if (point.slug != kVages) ratios.push_back({kVages, point.slug});
        }
        const StepCosts costs = measure_work(steps, ratios, options_, data_);
        for (Row row : costs.rows) {
          const auto point =
              std::find_if(points.begin(), points.end(), [&](const Point& p) { return p.slug == row.method; });
          point->describe(row);
          if (row.metric == "seconds_per_step") plot(seconds_, *point, row.value, row.standard_error);
          if (row.metric == "peak_bytes") plot(bytes_, *point, row.value, 0);
          if (row.metric == "time_ratio") time[std::get<std::string>(row.settings["against"])].push_back(row.value);
          if (row.metric == "memory_ratio") memory[std::get<std::string>(row.settings["against"])].push_back(row.value);
          rows.push_back(std::move(row));
        }
      }
    for (const auto& [against, ratios] : time) {
      const Estimate mean = mean_estimate(torch::tensor(ratios, torch::kDouble));
      const Estimate bytes = mean_estimate(torch::tensor(memory[against], torch::kDouble));
      rows.push_back(row_of(kVages, "mean_time_ratio", mean, "1"));
      rows.back().settings["against"] = against;
      // The caption of Figure 3 and section 4.1.
      if (against == "bidsm-5") rows.back().published = 0.4;
      rows.push_back(row_of(kVages, "mean_memory_ratio", bytes, "1"));
      rows.back().settings["against"] = against;
      if (against == "bidsm-5") rows.back().published = 0.9;
      outcome_.summary.push_back(
          fmt::format("{} / {} over the grid: time {:.3f}, memory {:.3f}", kVages, against, mean.value, bytes.value));
    }
    context_.add(rows);
  }

  Row row_of(const std::string& slug, const char* metric, const Estimate& estimate, const char* unit) const {
    Row row;
    row.method = slug;
    row.dataset = data_;
    row.metric = metric;
    row.value = estimate.value;
    row.standard_error = estimate.standard_error;
    row.unit = unit;
    return row;
  }

  // Trains up to every check, from where an earlier call left it, and measures there. What was measured is kept in the run.
  void measure(const Point& point) {
    TrainRequest request;
    request.recipe = "vages/frey-face";
    request.set = set_;
    for (const std::string& assignment : point.set()) request.set.push_back(assignment);
    request.seed = static_cast<std::int64_t>(context_.seed);
    request.out = fmt::format("{}/{}", context_.directory, point.name());
    request.path = context_.path;
    std::optional<Measured> best;
    for (std::int64_t check = 1; check <= options_.checks; ++check) {
      const std::int64_t step = std::max<std::int64_t>(steps_ * check / options_.checks, 1);
      if (ports_.interrupt->requested()) throw Interrupted("reproduce", fmt::format("stopped before {}", request.out));
      const Measured at = checked(request, step);
      if (!best || at.validation > best->validation) best = at;
    }
    std::vector<Row> rows = {row_of(point.slug, "log_likelihood", best->test, "nats"),
                             row_of(point.slug, "sm_loss", best->loss, "1")};
    for (Row& row : rows) {
      point.describe(row);
      row.settings["step"] = static_cast<double>(best->step);
      row.settings["validation"] = best->validation;
      row.settings["steps"] = static_cast<double>(steps_);
    }
    context_.add(rows);
    plot(likelihood_, point, best->test.value, best->test.standard_error);
    plot(loss_, point, best->loss.value, best->loss.standard_error);
    outcome_.summary.push_back(fmt::format("{}: log-likelihood {}, score-matching loss {} at step {}", point.name(),
                                           format_estimate(best->test.value, best->test.standard_error),
                                           format_estimate(best->loss.value, best->loss.standard_error), best->step));
    ports_.logger->info(outcome_.summary.back());
  }

  Measured checked(TrainRequest request, std::int64_t step) const {
    request.set.push_back(fmt::format("train.steps={}", step));
    const std::string file = fmt::format("{}/measured-{}.pt", request.out, step);
    Measured at;
    at.step = step;
    if (std::filesystem::exists(file)) {
      const Tensor kept = read_checkpoint(file).at("measured");
      const double* values = kept.data_ptr<double>();
      at.validation = values[0];
      at.test.value = values[1];
      at.test.standard_error = values[2];
      at.loss.value = values[3];
      at.loss.standard_error = values[4];
      return at;
    }
    train_or_resume(request, ports_);
    const Parts parts = load_run(RunDirectory::open(request.out), {}, true, context_.path, *ports_.logger);
    parts.freeze();
    const auto& machine = dynamic_cast<const Grbm&>(*parts.latent_model);
    const Estimate normaliser = log_z(machine, options_, parts.rng("log-z").at_step(0), ports_);
    const auto rows = [&](const Dataset& split, const char* name) {
      return parts.data->prepared(split, name, parts.dtype).to(parts.device);
    };
    const Tensor test = rows(parts.data->splits.test, "test");
    {
      const torch::NoGradGuard no_graph;
      const auto mean_energy = [&](const Tensor& x) {
        return machine.energy(x).to(torch::kDouble).mean().item<double>();
      };
      at.validation = -mean_energy(rows(parts.data->splits.validation, "validation")) - normaliser.value;
      at.test.value = -mean_energy(test) - normaliser.value;
      at.test.standard_error = normaliser.standard_error;
    }
    constexpr std::int64_t kChunk = 16;  // a Laplacian holds as many copies of a row as it has coordinates
    at.loss = score_matching_loss(scalar_function(machine), test, kChunk);
    Checkpoint kept;
    kept.step = step;
    kept.tensors = {{"measured", torch::tensor({at.validation, at.test.value, at.test.standard_error, at.loss.value,
                                                at.loss.standard_error},
                                               torch::kDouble)}};
    write_checkpoint(file, kept);
    return at;
  }
};

}  // namespace

ExperimentOutcome reproduce_frey_face(const ExperimentContext& context, const Ports& ports) {
  return FreyFace(context, ports).run();
}

}  // namespace gibbsite
