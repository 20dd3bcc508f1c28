#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/text.h>
#include <gibbsite/metric/cost.h>
#include <gibbsite/recipe/parse.h>
#include <gibbsite/recipe/step_cost.h>
#include <gibbsite/recipe/train.h>
#include <gibbsite/recipe/write.h>
#include <gibbsite/train/clipping.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <map>
#include <memory>
#include <sstream>

namespace gibbsite {
namespace {

struct Trained {
  Networks networks;
  std::vector<Tensor> parameters;
  std::unique_ptr<Optimizer> optimizer;
};

Trained make_trained(const Parts& parts, const Config& tables) {
  Trained made;
  made.networks = make_networks_like(parts, tables);
  NamedTensors named;
  for (const Part& part : made.networks.named_parts())
    for (const auto& parameter : part.module->named_parameters()) {
      named.emplace_back(part.name + "/" + parameter.key(), parameter.value());
      made.parameters.push_back(parameter.value());
    }
  made.optimizer = make_optimizer(parts.phases.front().optimizer, named);
  return made;
}

Batch first_batch(const Parts& parts, std::int64_t batch_size) {
  Batch batch;
  batch.x = parts.data->loader(parts.dtype).batch(0, batch_size).x.to(parts.device);
  batch.global_size = batch.x.size(0);
  return batch;
}

}  // namespace

Config take_table(std::vector<std::string>& set, const std::string& name) {
  Config tables = Config::table();
  std::vector<std::string> others;
  for (const std::string& assignment : set) {
    if (assignment.rfind(name + ".", 0) == 0)
      apply_override(tables, assignment);
    else
      others.push_back(assignment);
  }
  set = std::move(others);
  return tables.at_table(name);
}

std::vector<std::string> take_methods(std::vector<std::string>& set, const std::vector<std::string>& slugs) {
  const std::string key = "method=";
  std::string asked;
  std::vector<std::string> others;
  for (const std::string& assignment : set) {
    if (assignment.rfind(key, 0) == 0)
      asked = assignment.substr(key.size());
    else
      others.push_back(assignment);
  }
  std::vector<std::string> methods;
  std::istringstream names(asked);
  for (std::string name; std::getline(names, name, ',');) {
    if (std::find(slugs.begin(), slugs.end(), name) == slugs.end())
      throw RequestError("--set", fmt::format("unknown method '{}'", name), name_hint(name, slugs));
    methods.push_back(name);
  }
  set = std::move(others);
  return methods;
}

std::string take_method(std::vector<std::string>& set, const std::vector<std::string>& slugs) {
  const std::vector<std::string> methods = take_methods(set, slugs);
  if (methods.size() > 1) throw RequestError("--set", "method takes one name here");
  return methods.empty() ? "" : methods.front();
}

std::vector<TimedWork> training_steps(const Parts& parts, const std::vector<TimedMethod>& methods,
                                      std::int64_t batch_size) {
  const Batch batch = first_batch(parts, batch_size);
  std::map<std::string, std::shared_ptr<const Trained>> trained;  // by the text of the model's settings
  std::vector<TimedWork> work;
  for (const TimedMethod& method : methods) {
    Config tables = network_tables(parts.resolved);
    for (const std::string& assignment : method.set) apply_override(tables, assignment);
    std::shared_ptr<const Trained>& part = trained[write_toml(network_tables(tables))];
    if (!part) part = std::make_shared<const Trained>(make_trained(parts, tables));
    ObjectiveParts objective_parts = part->networks.objective_parts();
    objective_parts.batch_size = batch_size;
    objective_parts.rng = parts.rng("objective");
    objective_parts.manifold = parts.manifold;
    objective_parts.kernel = [&] { return parts.kernel; };
    Shape one = parts.transforms.model_event;
    one.insert(one.begin(), 1);
    objective_parts.data_example = torch::zeros(one, parts.like().options());
    const Config& options = tables.at_table("objective");
    const Config* name = options.find("name");
    if (!name) throw RequestError(method.slug, "names no objective");
    const std::shared_ptr<const Objective> objective =
        find_entry(objective_table(), "objective", name->string(), method.slug).make(options, objective_parts);
    const ClippingOptions clipping = parts.phases.front().clipping.value_or(parts.train.clipping);
    TimedWork timed;
    timed.slug = method.slug;
    timed.published = method.published;
    timed.work = [batch, part, clipping, objective] {
      Rng rng(2, "step");
      const Tensor loss = (*objective)(batch, rng).backward;
      std::vector<Tensor> gradients = torch::autograd::grad({loss}, part->parameters, {}, {}, false, true);
      clip_gradients(gradients, clipping);
      part->optimizer->step(gradients, 0);
    };
    work.push_back(std::move(timed));
  }
  return work;
}

TimedWork training_round(const std::string& slug, std::shared_ptr<const Parts> parts, std::int64_t batch_size) {
  TrainerSetup setup = training_setup(*parts, {});
  setup.batches = [batch = first_batch(*parts, batch_size)](std::uint64_t, std::int64_t) { return batch; };
  for (TrainPhase& phase : setup.phases) {
    phase.batch_size = batch_size;
    phase.optimizer.learning_rate = 0;
  }
  const auto trainer = std::make_shared<Trainer>(std::move(setup));
  TimedWork timed;
  timed.slug = slug;
  timed.work = [parts = std::move(parts), trainer] { trainer->make_step(); };
  return timed;
}

StepCosts measure_steps(const Parts& parts, const std::vector<TimedMethod>& methods,
                        const std::vector<TimedRatio>& ratios, const StepCostSettings& settings) {
  return measure_work(training_steps(parts, methods, settings.batch_size), ratios, settings, data_name(parts));
}

StepCosts measure_work(const std::vector<TimedWork>& work, const std::vector<TimedRatio>& ratios,
                       const StepCostSettings& settings, const std::string& dataset) {
  const ThreadCount threads(settings.threads);
  TimingSettings timing;
  timing.rounds = settings.rounds;
  std::vector<Work> pieces;
  pieces.reserve(work.size());
  for (const TimedWork& timed : work) pieces.push_back(timed.work);
  const std::vector<Timing> timings = time_interleaved(pieces, timing);
  StepCosts costs;
  std::map<std::string, std::size_t> place;
  std::vector<double> peaks;
  const auto add = [&](const std::string& method, const char* metric, double value, double error,
                       const char* unit) -> Row& {
    Row row;
    row.method = method;
    row.dataset = dataset;
    row.metric = metric;
    row.value = value;
    row.standard_error = error;
    row.unit = unit;
    row.settings["threads"] = static_cast<double>(settings.threads);
    costs.rows.push_back(row);
    return costs.rows.back();
  };
  const double unknown = std::numeric_limits<double>::quiet_NaN();
  for (std::size_t i = 0; i < work.size(); ++i) {
    const std::string& slug = work[i].slug;
    place[slug] = i;
    const Estimate seconds = timings[i].seconds;
    add(slug, "seconds_per_step", seconds.value, seconds.standard_error, "s").published = work[i].published;
    const auto counted = static_cast<double>(count_multiply_adds(pieces[i]).total);
    add(slug, "multiply_adds", counted, unknown, "multiply-adds");
    peaks.push_back(static_cast<double>(peak_bytes(pieces[i])));
    add(slug, "peak_bytes", peaks.back(), unknown, "bytes");
    costs.summary.push_back(fmt::format("{}: {:.1f} ms per step, {:.3g} multiply-adds, {:.1f} MB", slug,
                                        1e3 * seconds.value, counted, peaks.back() / 1e6));
  }
  for (const TimedRatio& ratio : ratios) {
    const std::size_t of = place.at(ratio.of), against = place.at(ratio.against);
    const Estimate time = time_ratio(timings[of], timings[against]);
    Row& row = add(ratio.of, "time_ratio", time.value, time.standard_error, "1");
    row.settings["against"] = ratio.against;
    row.published = ratio.published;
    const double memory = peaks[of] / peaks[against];
    add(ratio.of, "memory_ratio", memory, unknown, "1").settings["against"] = ratio.against;
    costs.summary.push_back(fmt::format("{} / {}: time {}, memory {:.3f}", ratio.of, ratio.against,
                                        format_estimate(time.value, time.standard_error), memory));
  }
  return costs;
}

}  // namespace gibbsite
