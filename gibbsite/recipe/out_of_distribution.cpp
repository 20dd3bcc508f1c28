#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/data/named_set.h>
#include <gibbsite/metric/quadrature.h>
#include <gibbsite/metric/typicality.h>
#include <gibbsite/recipe/out_of_distribution.h>
#include <gibbsite/recipe/step_cost.h>
#include <gibbsite/recipe/train.h>
#include <torch/nn/module.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

struct Scale {
  std::vector<std::string> set;
  std::int64_t training_points, test_points, groups, cost_batch, rounds;
};

Scale scale_of(const std::string& name) {
  if (name == "smoke")
    return {{"model.filters=2", "model.stages=1", "train.steps=4", "train.batch_size=8", "train.validate_every=4",
             "data.train=64", "data.validation=8"},
            32,
            32,
            50,
            8,
            1};
  if (name == "desk")
    return {{"model.filters=16", "train.steps=1500", "train.batch_size=32", "train.validate_every=500",
             "train.checkpoint_every=500", "optimizer.learning_rate=2e-3", "schedule.warmup=100"},
            10000,
            10000,
            1000,
            32,
            9};
  return {{}, 10000, 10000, 1000, 128, 9};
}

struct Method {
  const char* slug;
  std::vector<std::string> set;
};

const std::vector<Method>& methods() {
  static const std::vector<Method> list = {
      {"dsm", {"objective.derivative=autograd"}},
      {"dsm-stock", {"objective.derivative=autograd", "model.operations=stock"}},
      {"fd-dsm", {"objective.derivative=finite_difference", "objective.projection=sphere", "objective.epsilon=0.05"}},
  };
  return list;
}

const std::int64_t kGroupSizes[] = {1, 2, 5, 10};

TrainRequest request_of(const ExperimentContext& context, const Scale& scale, const std::vector<std::string>& set) {
  TrainRequest request;
  request.recipe = "fd/ood";
  request.set = scale.set;
  request.set.insert(request.set.end(), set.begin(), set.end());
  request.set.insert(request.set.end(), context.set.begin(), context.set.end());
  request.seed = static_cast<std::int64_t>(context.seed);
  request.path = context.path;
  return request;
}

// Energies of the first `points` rows in the units of the model, [n] float64.
Tensor energies_of(const Parts& parts, const Dataset& data, std::int64_t points) {
  const Tensor rows = data.rows(0, std::min(points, data.size())).x;
  const EnergyFn energy = [&](const Tensor& x) {
    return parts.energy->energy(parts.transforms.pipeline.forward(x).to(parts.like().options()));
  };
  return energies(energy, rows, 250);
}

std::vector<Row> detect(const ExperimentContext& context, const Ports& ports, const Scale& scale, const Method& method,
                        std::vector<std::string>& summary) {
  TrainRequest request = request_of(context, scale, method.set);
  request.out = fmt::format("{}/{}", context.directory, method.slug);
  train_or_resume(request, ports);

  const Parts parts = load_run(RunDirectory::open(request.out), {}, true, context.path, *ports.logger);
  const std::string data = data_name(parts);
  const Tensor in = energies_of(parts, parts.data->splits.test, scale.test_points);
  TypicalityTest test;
  test.groups = scale.groups;
  test.training_energy = energies_of(parts, parts.data->splits.train, scale.training_points).mean().item<double>();
  std::vector<Row> rows;
  std::vector<std::string> sets = {data};
  sets.insert(sets.end(), parts.evaluate.out.begin(), parts.evaluate.out.end());
  for (const std::string& name : sets) {
    const Tensor out =
        name == data ? in
                     : energies_of(parts, load_for_evaluation(name, context.path, "evaluate.out", file_options(parts)),
                                   scale.test_points);
    std::string line = fmt::format("{}, {}:", method.slug, name);
    for (const std::int64_t size : kGroupSizes) {
      test.size = size;
      const Estimate found =
          typicality_auroc(in, out, test, parts.rng("typicality").stream(fmt::format("{}/{}", name, size)));
      Row row;
      row.method = method.slug;
      row.dataset = data;
      row.metric = "auroc";
      row.value = found.value;
      row.standard_error = found.standard_error;
      row.unit = "1";
      row.settings["group"] = static_cast<double>(size);
      row.settings["out"] = name;
      row.settings["score"] = std::string("typicality");
      rows.push_back(row);
      line += fmt::format(" M = {} {}", size, format_estimate(found.value, found.standard_error));
    }
    summary.push_back(line);
  }
  return rows;
}

}  // namespace

ExperimentOutcome reproduce_out_of_distribution(const ExperimentContext& asked, const Ports& ports) {
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
  const Parts parts = build_parts(requested_recipe(request_of(context, scale, {})), context.path);
  const std::string data = data_name(parts);
  std::vector<TimedMethod> timed;
  for (const Method& method : methods()) {
    timed.push_back({method.slug, method.set});
    timed.back().set.insert(timed.back().set.begin(), "objective.name=mdsm");
    if (!options.quality() || (!only.empty() && only != method.slug)) continue;
    if (context.measured(method.slug, data, "auroc")) continue;
    if (ports.interrupt->requested()) throw Interrupted("reproduce", fmt::format("stopped before {}", method.slug));
    ports.logger->info(method.slug);
    context.add(detect(context, ports, scale, method, outcome.summary));
  }
  if (!options.cost() || !only.empty() || context.measured("dsm", data, "seconds_per_step")) return outcome;
  const StepCosts costs =
      measure_steps(parts, timed, {{"dsm", "fd-dsm"}, {"dsm", "dsm-stock"}, {"dsm-stock", "fd-dsm"}}, options);
  context.add(costs.rows);
  outcome.summary.insert(outcome.summary.end(), costs.summary.begin(), costs.summary.end());
  return outcome;
}

}  // namespace gibbsite
