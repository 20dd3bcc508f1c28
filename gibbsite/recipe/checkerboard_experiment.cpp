#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/metric/grbm_log_z.h>
#include <gibbsite/metric/quadrature.h>
#include <gibbsite/recipe/checkerboard_experiment.h>
#include <gibbsite/recipe/step_cost.h>
#include <gibbsite/recipe/train.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace gibbsite {
namespace {

constexpr const char* kMarginal = "vages/checkerboard-marginal";
constexpr const char* kDraws = "vages/checkerboard";
constexpr const char* kSteinDraws = "vages/ksd-checkerboard";

struct Method {
  const char* slug;
  std::int64_t particles;  // L, 0 where nothing is drawn
  const char* recipe;
  std::vector<std::string> set;

  std::string label() const { return particles > 0 ? fmt::format("{}, L = {}", slug, particles) : slug; }
  std::string folder() const { return particles > 0 ? fmt::format("{}-{}", slug, particles) : slug; }
};

std::string particles_of_score(std::int64_t particles) {
  return fmt::format("variational_score.particles={}", particles);
}

const std::vector<Method>& ksd_methods() {
  static const std::vector<Method> all = [] {
    std::vector<Method> list = {
        {"ksd", 0, kMarginal, {"objective.name=ksd", "objective.width=0.1", "objective.sides=second"}}};
    for (const std::int64_t particles : {2, 5, 10})
      list.push_back({"vages-ksd", particles, kSteinDraws, {particles_of_score(particles)}});
    // Importance sampling takes no encoder, and none is trained.
    for (const std::int64_t particles : {2, 5, 10})
      list.push_back({"is-ksd",
                      particles,
                      kSteinDraws,
                      {fmt::format("phase=[{{name=\"model\", trains=[\"model\"], objective={{name=\"is_ksd\", "
                                   "width=0.1, sides=\"second\", particles={}}}}}]",
                                   particles)}});
    return list;
  }();
  return all;
}

// Bilevel score matching with N unrolled updates, one latent draw (protocol sheet V5).
Method bilevel(const char* slug, std::int64_t unroll) {
  return {slug, 1, kDraws, {fmt::format("phase.1.objective={{name=\"bidsm\", sigma=0.05, unroll={}}}", unroll)}};
}

const std::vector<Method>& all_methods() {
  static const std::vector<Method> all = {
      {"mle", 0, kMarginal, {"objective.name=mle"}},
      {"cd-1", 0, kMarginal, {"objective.name=cd", "objective.steps=1"}},
      {"pcd-1", 0, kMarginal, {"objective.name=cd", "objective.steps=1", "objective.persistent=true"}},
      {"dsm", 0, kMarginal, {"objective.name=dsm", "objective.sigma=0.05"}},
      {"ssm-vr", 0, kMarginal, {"objective.name=ssm_vr"}},
      {"nce", 0, kMarginal, {"objective.name=nce", "objective.normaliser=learned"}},
      {"vages-dsm", 2, kDraws, {particles_of_score(2)}},
      {"vnce",
       5,
       kDraws,
       {"phase.0.objective={name=\"posterior_kl\"}", "phase.1.objective={name=\"vnce\", particles=5}"}},
      bilevel("bidsm-0", 0),
      bilevel("bidsm-5", 5),
  };
  return all;
}

struct Settings {
  std::vector<std::int64_t> iterations;
  void declare(OptionVisitor& o) {
    o.option("iterations", iterations, "iterations after which the test points are judged, in order; the last ends it",
             at_least(1));
  }
};

Settings settings_of(const std::string& scale) {
  Settings settings;
  if (scale == "smoke") {
    settings.iterations = {5, 10};
  } else {
    for (std::int64_t step = 10000; step <= 100000; step += 10000) settings.iterations.push_back(step);
  }
  return settings;
}

// Mean of log p over the held-out points.
Estimate test_log_likelihood(const Parts& parts) {
  const auto* machine = dynamic_cast<const Grbm*>(parts.energy.get());
  if (!machine) throw RequestError("model.name", "these experiments judge Gaussian-Bernoulli machines", "\"grbm\"");
  for (Tensor& parameter : parts.energy->module().parameters()) parameter.requires_grad_(false);
  const Tensor x = parts.data->prepared(parts.data->splits.test, "test", parts.dtype);
  Estimate found = mean_estimate(-energies([&](const Tensor& v) { return machine->energy(v); }, x, 10000));
  found.value -= log_z(*machine, {}, parts.rng("log_z")).value;
  return found;
}

class Runner {
 public:
  Runner(const ExperimentContext& context, const Ports& ports, const std::vector<Method>& methods, std::string title)
      : context_(context), ports_(ports), methods_(methods), title_(std::move(title)), set_(context.set) {
    std::vector<std::string> slugs;
    slugs.reserve(methods.size());
    for (const Method& method : methods) slugs.emplace_back(method.slug);
    only_ = take_method(set_, slugs);
    settings_ = take_experiment_options(set_, settings_of(context.scale));
    if (settings_.iterations.empty() || !std::is_sorted(settings_.iterations.begin(), settings_.iterations.end()))
      throw RequestError("experiment.iterations", "expected growing numbers of iterations");
    if (context.scale == "smoke") set_.insert(set_.begin(), {"data.train=1000", "data.test=200"});
  }

  ExperimentOutcome run() {
    for (const Method& method : methods_)
      if (only_.empty() || only_ == method.slug) measure(method);
    draw();
    return outcome_;
  }

 private:
  const ExperimentContext& context_;
  const Ports& ports_;
  const std::vector<Method>& methods_;
  std::string title_;
  std::vector<std::string> set_;
  std::string only_;  // the one method asked for; empty: all
  Settings settings_;
  ExperimentOutcome outcome_;

  static bool belongs(const Row& row, const Method& method, std::int64_t iterations) {
    const double particles = number_of(row, "particles");
    return row.method == method.slug && row.metric == "log_likelihood" &&
           number_of(row, "iterations") == static_cast<double>(iterations) &&
           (std::isnan(particles) ? 0 : particles) == static_cast<double>(method.particles);
  }

  void measure(const Method& method) {
    for (const std::int64_t iterations : settings_.iterations) {
      const std::vector<Row> rows = rows_of_seed(context_, method.slug, "log_likelihood");
      if (std::any_of(rows.begin(), rows.end(), [&](const Row& row) { return belongs(row, method, iterations); }))
        continue;
      if (ports_.interrupt->requested()) throw Interrupted("reproduce", fmt::format("stopped at {}", method.label()));
      const Estimate found = at(method, iterations);
      Row row;
      row.method = method.slug;
      row.dataset = "checkerboard";
      row.metric = "log_likelihood";
      row.value = found.value;
      row.standard_error = found.standard_error;
      row.unit = "nats";
      row.settings["iterations"] = static_cast<double>(iterations);
      if (method.particles > 0) row.settings["particles"] = static_cast<double>(method.particles);
      context_.add({row});
      ports_.logger->info(fmt::format("{} after {} iterations: {} nats", method.label(), iterations,
                                      format_estimate(found.value, found.standard_error)));
    }
  }

  // Trains, or goes on, up to a number of iterations.
  Estimate at(const Method& method, std::int64_t iterations) const {
    TrainRequest request;
    request.recipe = method.recipe;
    request.set = method.set;
    request.set.insert(request.set.end(), set_.begin(), set_.end());
    request.set.push_back(fmt::format("train.steps={}", iterations));
    request.seed = static_cast<std::int64_t>(context_.seed);
    request.out = fmt::format("{}/{}", context_.directory, method.folder());
    request.path = context_.path;
    train_or_resume(request, ports_);
    return test_log_likelihood(load_run(RunDirectory::open(request.out), {}, true, context_.path, *ports_.logger));
  }

  // Curves of the means over the seeds so far.
  void draw() {
    CurvePlot plot;
    plot.title = title_;
    plot.x_label = "iterations";
    plot.y_label = "test log-likelihood, nats";
    const std::vector<Row> rows = context_.rows();
    for (const Method& method : methods_) {
      Curve curve{method.label(), {}, {}, {}};
      std::size_t seeds = 0;
      for (const std::int64_t iterations : settings_.iterations) {
        std::vector<double> values;
        for (const Row& row : rows)
          if (belongs(row, method, iterations)) values.push_back(row.value);
        if (values.empty()) continue;
        const Estimate mean = mean_estimate(torch::tensor(values, torch::kDouble));
        curve.x.push_back(static_cast<double>(iterations));
        curve.y.push_back(mean.value);
        curve.error.push_back(mean.standard_error);
        seeds = values.size();
      }
      if (curve.x.empty()) continue;
      outcome_.summary.push_back(fmt::format("{}: {} nats after {} iterations, {} seed{}", method.label(),
                                             format_estimate(curve.y.back(), curve.error.back()), curve.x.back(), seeds,
                                             seeds == 1 ? "" : "s"));
      plot.curves.push_back(curve);
    }
    if (!plot.curves.empty()) add_plot(outcome_, context_, ports_, "log-likelihood", plot);
  }
};

}  // namespace

ExperimentOutcome reproduce_ksd_checkerboard(const ExperimentContext& context, const Ports& ports) {
  return Runner(context, ports, ksd_methods(), "Stein discrepancies of the checkerboard").run();
}

ExperimentOutcome reproduce_checkerboard(const ExperimentContext& context, const Ports& ports) {
  return Runner(context, ports, all_methods(), "A Gaussian-Bernoulli machine of the checkerboard").run();
}

}  // namespace gibbsite
