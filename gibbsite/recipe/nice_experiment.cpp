#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/metric/quadrature.h>
#include <gibbsite/metric/score_matching_loss.h>
#include <gibbsite/recipe/nice_experiment.h>
#include <gibbsite/recipe/step_cost.h>
#include <gibbsite/recipe/train.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <optional>

namespace gibbsite {
namespace {

struct Scale {
  std::vector<std::string> set;   // of every run
  std::vector<std::string> cost;  // of the model whose steps are timed
  std::int64_t points, cost_batch, rounds;
};

Scale scale_of(const std::string& name) {
  if (name == "smoke")
    return {{"model.hidden=[8]", "train.steps=6", "train.batch_size=16", "train.validate_every=3", "data.train=200",
             "data.validation=32", "data.test=32"},
            {"model.hidden=[8]", "data.train=64", "data.validation=0", "data.test=32"},
            4,
            16,
            1};
  const std::vector<std::string> full = {"data.train=1024", "data.validation=0", "data.test=32"};
  if (name == "desk")
    return {{"model.hidden=[200, 200, 200, 200]", "train.steps=1000", "train.validate_every=250",
             "optimizer.learning_rate=1e-3"},
            full,
            512,
            128,
            9};
  return {{}, full, 512, 128, 15};
}

// A line of Table 3. `sigma` and `epsilon` are 0 where the method has none.
struct Method {
  const char* slug;
  std::vector<std::string> set;
  double sigma, epsilon;
  std::optional<double> published_nll, published_loss;
};

std::vector<Method> methods() {
  const std::string fd = "objective.derivative=finite_difference";
  return {
      {"mle", {"objective.name=mle"}, 0, 0, 791, -1236},
      {"jet-ssm", {"objective.name=ssm", "objective.derivative=jet"}, 0, 0, 2579, -2182},
      {"ssm-vr", {"objective.name=ssm_vr", "objective.derivative=jet"}, 0, 0, 6234, -4943},
      {"fd-ssm",
       {"objective.name=ssm", fd, "objective.projection=sphere", "objective.epsilon=0.1"},
       0,
       0.1,
       1647,
       -2425},
      {"approximate-backprop", {"objective.name=approximate_backprop"}, 0, 0, 1853, -2530},
      {"curvature-propagation", {"objective.name=curvature_propagation"}, 0, 0, 1626, -2049},
      {"dsm", {"objective.name=dsm", "objective.weight=variance_squared", "objective.sigma=0.1"}, 0.1, 0, 3398, -2820},
      {"dsm", {"objective.name=dsm", "objective.weight=variance_squared", "objective.sigma=1.74"}, 1.74, 0, 3764, -180},
  };
}

// Data laws: the noise added to the logits.
const std::vector<double> kNoises = {0.1, 0};

struct Measured {
  Estimate nll, loss;
};

// Trains one method on one data law, or goes on where an interrupted call stopped, and measures its best checkpoint.
Measured measure(const ExperimentContext& context, const Ports& ports, const Scale& scale, const Method& method,
                 double noise) {
  TrainRequest request;
  request.recipe = "fd/nice";
  request.set = scale.set;
  request.set.insert(request.set.end(), method.set.begin(), method.set.end());
  request.set.push_back(fmt::format("data.noise={}", noise));
  request.set.insert(request.set.end(), context.set.begin(), context.set.end());
  request.seed = static_cast<std::int64_t>(context.seed);
  request.out = fmt::format("{}/{}{}-noise-{}", context.directory, method.slug,
                            method.sigma > 0 ? fmt::format("-{}", method.sigma) : "", noise);
  request.path = context.path;
  train_or_resume(request, ports);

  const Parts parts = load_run(RunDirectory::open(request.out), {}, true, context.path, *ports.logger);
  for (Tensor& parameter : parts.energy->module().parameters()) parameter.requires_grad_(false);
  const Tensor x = parts.data->prepared(parts.data->splits.test, "test", parts.dtype).to(parts.device);
  const ScalarFunction f = scalar_function(*parts.energy);
  const std::int64_t points = std::min(scale.points, x.size(0));
  return {mean_estimate(energies(f.value, x, 1000)), score_matching_loss(f, x.narrow(0, 0, points), 128)};
}

// Steps at the width of the paper. Table 3 was measured with LibTorch's own operations on another machine.
const std::vector<TimedMethod>& timed_methods() {
  static const std::string stock = "model.operations=stock", ssm = "objective.name=ssm";
  static const std::vector<TimedMethod> list = {
      {"mle", {"objective.name=mle"}, 0.0243},
      {"dsm", {"objective.name=dsm"}},
      {"dsm-stock", {"objective.name=dsm", stock}, 0.0358},
      {"jet-ssm", {ssm, "objective.derivative=jet"}},
      {"fd-ssm", {ssm, "objective.derivative=finite_difference"}},
      {"fd-ssm-stock", {ssm, "objective.derivative=finite_difference", stock}, 0.0264},
      {"nested-ssm", {ssm, "objective.derivative=autograd"}},
      {"nested-ssm-stock", {ssm, "objective.derivative=autograd", stock}, 0.0596},
      {"ssm-vr", {"objective.name=ssm_vr", "objective.derivative=jet"}, 0.0617},
      {"approximate-backprop", {"objective.name=approximate_backprop"}, 0.0553},
      {"curvature-propagation", {"objective.name=curvature_propagation"}, 0.0736},
  };
  return list;
}

const std::vector<TimedRatio>& timed_ratios() {
  static const std::vector<TimedRatio> list = {
      {"jet-ssm", "fd-ssm"},
      {"jet-ssm", "nested-ssm-stock"},
      {"jet-ssm", "nested-ssm"},
      {"jet-ssm", "mle"},
      {"fd-ssm", "mle"},
      {"fd-ssm", "nested-ssm-stock"},
      {"dsm", "mle"},
      {"dsm", "dsm-stock"},
      {"ssm-vr", "jet-ssm"},
  };
  return list;
}

StepCosts cost(const ExperimentContext& context, const Scale& scale, const StepCostSettings& settings) {
  TrainRequest request;
  request.recipe = "fd/nice";
  request.set = scale.cost;
  request.set.insert(request.set.end(), context.set.begin(), context.set.end());
  return measure_steps(build_parts(requested_recipe(request), context.path), timed_methods(), timed_ratios(), settings);
}

}  // namespace

ExperimentOutcome reproduce_nice(const ExperimentContext& asked, const Ports& ports) {
  const Scale scale = scale_of(asked.scale);
  ExperimentContext context = asked;
  std::vector<std::string> slugs;
  for (const Method& method : methods()) slugs.emplace_back(method.slug);
  const std::string only = take_method(context.set, slugs);
  TrainedExperimentOptions options;
  options.batch_size = scale.cost_batch;
  options.rounds = scale.rounds;
  options = take_experiment_options(context.set, options);
  ExperimentOutcome outcome;
  const std::vector<Method> all = options.quality() ? methods() : std::vector<Method>();
  for (std::size_t first = 0, last; first < all.size(); first = last) {
    // The lines of one slug are added together: `measured` knows slugs only.
    for (last = first; last < all.size() && std::string(all[last].slug) == all[first].slug;) ++last;
    if ((!only.empty() && only != all[first].slug) || context.measured(all[first].slug, "mnist", "nll")) continue;
    std::vector<Row> rows;
    for (std::size_t m = first; m < last; ++m)
      for (const double noise : kNoises) {
        if (ports.interrupt->requested()) throw Interrupted("reproduce", fmt::format("stopped before {}", all[m].slug));
        ports.logger->info(fmt::format("{} at noise {}", all[m].slug, noise));
        const Measured measured = measure(context, ports, scale, all[m], noise);
        const auto add = [&](const char* metric, const Estimate& estimate, const char* unit,
                             const std::optional<double>& published) {
          Row row;
          row.method = all[m].slug;
          row.dataset = "mnist";
          row.metric = metric;
          row.value = estimate.value;
          row.standard_error = estimate.standard_error;
          row.unit = unit;
          row.settings["noise"] = noise;
          if (all[m].sigma > 0) row.settings["sigma"] = all[m].sigma;
          if (all[m].epsilon > 0) row.settings["epsilon"] = all[m].epsilon;
          if (noise == 0) row.published = published;
          rows.push_back(row);
        };
        add("nll", measured.nll, "nats", all[m].published_nll);
        add("sm_loss", measured.loss, "1", all[m].published_loss);
        outcome.summary.push_back(fmt::format("{}{} at noise {}: nll {}, sm_loss {}", all[m].slug,
                                              all[m].sigma > 0 ? fmt::format(" (sigma {})", all[m].sigma) : "", noise,
                                              format_estimate(measured.nll.value, measured.nll.standard_error),
                                              format_estimate(measured.loss.value, measured.loss.standard_error)));
      }
    context.add(rows);
  }
  if (options.cost() && only.empty() && !context.measured("mle", "mnist", "seconds_per_step")) {
    const StepCosts costs = cost(context, scale, options);
    context.add(costs.rows);
    outcome.summary.insert(outcome.summary.end(), costs.summary.begin(), costs.summary.end());
  }
  return outcome;
}

}  // namespace gibbsite
