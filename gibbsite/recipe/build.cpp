#include <fmt/format.h>
#include <gibbsite/core/device.h>
#include <gibbsite/core/error.h>
#include <gibbsite/data/csv.h>
#include <gibbsite/metric/table.h>
#include <gibbsite/model/noise_levels.h>
#include <gibbsite/recipe/build.h>
#include <gibbsite/recipe/named_table.h>
#include <gibbsite/recipe/parse.h>
#include <gibbsite/recipe/write.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace gibbsite {
namespace {

at::Device parse_device(const Config& recipe, const GeneralOptions& general) {
  const std::string& name = general.device;
  const std::string origin = recipe.contains("device") ? recipe.find("device")->origin() : "device";
  try {
    const at::Device device(name);
    if (device.is_cpu()) return at::kCPU;
    if (device.is_cuda()) {
      if (!at::hasCUDA())
        throw WorkError("device", "there is no CUDA device in this build or on this machine", "use cpu");
      general.tf32 ? use_tf32_on_cuda() : use_exact_cuda();
      return device;
    }
  } catch (const c10::Error&) {
    // Not a device name at all.
  }
  throw RequestError(origin, fmt::format("device is '{}', expected cpu, cuda or cuda:<index>", name));
}

void resolve_data(const Config& data, Parts& parts) {
  Config table = Config::table();
  table.merge(data);
  Config defaults = echoed(DataOptions{});
  for (const std::string& key : defaults.keys())
    if (!table.contains(key)) table.set(key, *defaults.find(key));
  for (const Entry<MakeDensity>& entry : density_table())
    if (entry.name == table.find("name")->string()) add_defaults(table, entry.options);
  parts.resolved.set("data", std::move(table));
}

void range_of_training_points(Parts& parts) {
  const Dataset& train = parts.data->splits.train;
  StoredTransforms& stored = parts.transforms;
  stored.pipeline = parts.data->pipeline;
  stored.event = parts.data->event();
  stored.model_event = parts.data->model_event();
  stored.value_low = train.low;
  stored.value_high = train.high;
  if (has_names(train.columns) && stored.event.size() == 1) stored.columns = train.columns;
  const std::int64_t rows = std::min<std::int64_t>(train.size(), 10000);
  if (rows == 0) {
    stored.low = torch::full(stored.model_event, -1.0, torch::kDouble);
    stored.high = torch::full(stored.model_event, 1.0, torch::kDouble);
    return;
  }
  const Tensor y = stored.pipeline.forward(train.x.narrow(0, 0, rows)).to(torch::kDouble);
  stored.low = std::get<0>(y.min(0));
  stored.high = std::get<0>(y.max(0));
}

ModelContext model_context(const Parts& parts, const std::string& stream) {
  ModelContext context;
  context.event = parts.transforms.model_event;
  context.init = parts.rng(stream);
  context.dtype = parts.dtype;
  context.device = parts.device;
  context.antipodal = parts.manifold && parts.manifold->antipodal();
  return context;
}

void build_networks(const Config& recipe, Parts& parts) {
  const auto context = [&](const std::string& stream) {
    ModelContext made = model_context(parts, stream);
    if (parts.data && parts.data->splits.train.size() > 0)
      made.examples = [&parts](std::int64_t n) {
        const Tensor rows = parts.data->prepared(parts.data->splits.train, "train", parts.dtype).to(parts.device);
        const Tensor order = parts.rng("examples").permutation(rows.size(0)).to(parts.device);
        return rows.index_select(0, order.slice(0, 0, std::min(n, rows.size(0))));
      };
    return made;
  };
  static_cast<Networks&>(parts) = make_networks(recipe, context, parts.resolved);
}

/// [manifold], or where there is none the space of generated data.
void build_manifold(const Config& recipe, Parts& parts) {
  recipe.declare_key("manifold");
  std::string origin = "data";
  if (recipe.contains("manifold")) {
    const Config& table = recipe.at_table("manifold");
    const Entry<MakeManifold>& entry = find_part(manifold_table(), "manifold", table, "manifold");
    parts.manifold = entry.make(table);
    parts.resolved.set("manifold", resolved_part(entry, table));
    origin = table.find("name")->origin();
  } else if (parts.data && parts.data->density) {
    parts.manifold = manifold_of(*parts.data->density);
    if (parts.manifold) parts.resolved.set("manifold", *parts.data->density->manifold());
  }
  if (!parts.manifold) return;
  if (parts.transforms.model_event != Shape{parts.manifold->ambient()})
    throw RequestError(origin, fmt::format("points of this manifold have {} coordinates, those of the data do not",
                                           parts.manifold->ambient()));
  if (!parts.data) return;
  if (parts.data->options.scale != "none")
    throw RequestError("data.scale", "scaling takes points off the manifold", "scale = \"none\"");
  const Dataset& train = parts.data->splits.train;
  if (train.size() > 0) parts.manifold->project(train.x.narrow(0, 0, std::min<std::int64_t>(train.size(), 10000)));
}

/// Refuses what would take points of a manifold for points of Euclidean space.
void require_flat(const Parts& parts, const std::string& origin, const std::string& what) {
  if (!parts.flat()) throw RequestError(origin, fmt::format("{} knows nothing of manifolds", what));
}

std::shared_ptr<const Kernel> build_kernel(const Config& table, const std::string& path, Config& resolved) {
  const Entry<MakeKernel>& entry = find_part(kernel_table(), "sampler", table, path);
  resolved = resolved_part(entry, table);
  return entry.make(table);
}

/// Where a key of a table is written, or the table's own name.
std::string origin_of(const Config& table, const std::string& key, const char* otherwise) {
  const Config* node = table.find(key);
  return node ? node->origin() : otherwise;
}

void build_sample(const Config& recipe, Parts& parts) {
  const Config& table = recipe.at_table("sample");
  SampleOptions defaults;
  const bool decodes = parts.decoder || parts.generator;
  if (decodes) defaults.schedule = "decode";
  parts.sample = read_options(table, "sample", defaults);
  if ((parts.sample.schedule == "decode") != decodes)
    throw RequestError(
        origin_of(table, "schedule", "sample"),
        fmt::format("sample.schedule '{}' does not go with {} decoder", parts.sample.schedule, decodes ? "a" : "no"));
  const std::vector<double>& clamp = parts.sample.clamp;
  if (!clamp.empty() && !(clamp.size() == 2 && clamp[0] < clamp[1]))
    throw RequestError(origin_of(table, "clamp", "sample"), "sample.clamp: expected [low, high] with low < high");
  Config resolved = echoed(parts.sample);
  if (parts.sample.schedule == "chain") {
    parts.chain = read_options<ChainOptions>(table, "sample", parts.chain);
    echo_options(parts.chain, resolved);
  } else if (parts.sample.schedule == "temperature") {
    parts.annealing = read_options<TemperatureAnnealing>(table.at_table("annealing"), "sample.annealing");
    resolved.set("annealing", echoed(parts.annealing));
  } else if (parts.sample.schedule == "noise_levels") {
    if (!dynamic_cast<const ConditionalScore*>(parts.score.get()))
      throw RequestError(origin_of(table, "schedule", "sample"),
                         "sample.schedule 'noise_levels' needs a score network told the noise level",
                         "score.name = \"ncsn\" is one");
    parts.noise_annealing = read_options<NoiseAnnealing>(table.at_table("annealing"), "sample.annealing");
    resolved.set("annealing", echoed(parts.noise_annealing));
  }
  parts.resolved.set("sample", std::move(resolved));
}

void build_evaluate(const Config& recipe, Parts& parts) {
  const Config& table = recipe.at_table("evaluate");
  parts.evaluate = read_options<EvaluateOptions>(table, "evaluate");
  parts.evaluate.metrics = read_strings(table, "metrics");
  for (const std::string& name : parts.evaluate.metrics)
    parts.require_metric(name, origin_of(table, "metrics", "evaluate"));
  parts.evaluate.out = read_strings(table, "out");
  const auto strings = [](const std::vector<std::string>& items) {
    return Config::array({items.begin(), items.end()});
  };
  Config resolved = Config::table({{"metrics", strings(parts.evaluate.metrics)}, {"out", strings(parts.evaluate.out)}});
  echo_options(parts.evaluate, resolved);
  parts.inception = read_options<InceptionOptions>(table.at_table("inception"), "evaluate.inception");
  resolved.set("inception", echoed(parts.inception));
  parts.resolved.set("evaluate", std::move(resolved));
}

/// Reads one phase from `table`; optimiser and schedule start from the recipe's own tables.
PhaseParts build_phase(const Config& recipe, const Config& table, const std::string& path, bool only, Parts& parts,
                       Config& resolved) {
  PhaseParts phase;
  const std::string prefix = path.empty() ? "" : path + ".";
  if (only) {
    phase.name = "main";
  } else {
    phase.name = part_name(table, path);
    resolved.set("name", Config(phase.name));
    phase.trains = read_strings(table, "trains");
    if (!phase.trains.empty()) resolved.set("trains", Config::array({phase.trains.begin(), phase.trains.end()}));
    struct Counts {
      std::int64_t steps = 1, batch_size = 0;
      bool same_batch = false;
      void declare(OptionVisitor& o) {
        o.option("steps", steps, "updates of this phase in every step of training", at_least(1));
        o.option("same_batch", same_batch,
                 "every update of a step of training takes the batch of that step, with noise of its own; else the "
                 "next one");
        o.option("batch_size", batch_size, "examples per update; 0: that of [train]", between(0, kMaximumBatch));
      }
    };
    const Counts counts = read_options<Counts>(table, path);
    phase.steps = counts.steps;
    phase.batch_size = counts.batch_size;
    phase.same_batch = counts.same_batch;
    echo_options(counts, resolved);
    const std::vector<std::string> keys = echoed(ClippingOptions{}).keys();
    for (const std::string& key : keys) table.declare_key(key);
    if (std::any_of(keys.begin(), keys.end(), [&](const std::string& key) { return table.contains(key); })) {
      phase.clipping = read_options<ClippingOptions>(table, path);
      echo_options(*phase.clipping, resolved);
    }
  }
  phase.optimizer = read_options<OptimizerOptions>(recipe.at_table("optimizer"), "optimizer");
  phase.schedule = read_options<ScheduleOptions>(recipe.at_table("schedule"), "schedule");
  if (!only) {
    phase.optimizer = read_options(table.at_table("optimizer"), prefix + "optimizer", phase.optimizer);
    phase.schedule = read_options(table.at_table("schedule"), prefix + "schedule", phase.schedule);
  }
  const Config& objective = required_table(table, "objective");
  const Entry<MakeObjective>& entry = find_part(objective_table(), "objective", objective, prefix + "objective");
  phase.objective_name = entry.name;
  phase.origin = objective.find("name")->origin();
  if (entry.name != "mvl") require_flat(parts, phase.origin, fmt::format("objective '{}'", entry.name));
  Config resolved_objective = resolved_part(entry, objective);
  ObjectiveParts objective_parts = parts.objective_parts();
  objective_parts.manifold = parts.manifold;
  objective_parts.noise_space = parts.vae.space.get();
  if (parts.vae.space)
    objective_parts.reconstruct = [vae = parts.vae](const Tensor& x, const Rng& rng) {
      return vae.reconstruct(x, rng);
    };
  if (parts.vae.starts)
    objective_parts.starts = [vae = parts.vae, like = parts.like()](std::int64_t rows, Rng& rng) {
      return vae.draws(rows, rng, like);
    };
  objective_parts.kernel = [&]() -> std::shared_ptr<const Kernel> {
    objective.declare_key("sampler");
    if (!objective.contains("sampler")) return parts.kernel;
    Config resolved_kernel;
    std::shared_ptr<const Kernel> kernel =
        build_kernel(objective.at_table("sampler"), prefix + "objective.sampler", resolved_kernel);
    resolved_objective.set("sampler", std::move(resolved_kernel));
    return kernel;
  };
  Shape one = parts.transforms.model_event;
  one.insert(one.begin(), 1);
  objective_parts.data_example = torch::zeros(one, torch::dtype(parts.dtype).device(parts.device));
  objective_parts.batch_size = phase.batch_size > 0 ? phase.batch_size : parts.train.batch_size;
  objective_parts.rng = parts.rng("objective/" + phase.name);
  phase.objective = entry.make(objective, objective_parts);
  if (const Config* noise = resolved_objective.find("noise")) phase.noise = noise->real();
  resolved.set("objective", std::move(resolved_objective));
  resolved.set("optimizer", echoed(phase.optimizer));
  resolved.set("schedule", echoed(phase.schedule));
  return phase;
}

void build_phases(const Config& recipe, Parts& parts) {
  recipe.declare_key("phase");
  recipe.declare_key("objective");
  recipe.declare_key("optimizer");
  recipe.declare_key("schedule");
  if (recipe.contains("phase")) {
    const Config& list = *recipe.find("phase");
    if (list.kind() != Config::Kind::kArray || list.items().empty())
      throw RequestError(list.origin(), "phase: expected [[phase]] tables");
    std::vector<Config> resolved;
    for (std::size_t i = 0; i < list.items().size(); ++i) {
      list.items()[i].mark_read();
      resolved.push_back(Config::table());
      parts.phases.push_back(
          build_phase(recipe, list.items()[i], fmt::format("phase.{}", i), false, parts, resolved.back()));
    }
    parts.resolved.set("phase", Config::array(std::move(resolved)));
    return;
  }
  Config resolved = Config::table();
  parts.phases.push_back(build_phase(recipe, recipe, "", true, parts, resolved));
  for (const std::string& key : resolved.keys()) parts.resolved.set(key, *resolved.find(key));
}

void build_general(const Config& recipe, Parts& parts) {
  parts.general = read_options<GeneralOptions>(recipe, "recipe");
  parts.dtype = parts.general.dtype == "float64" ? at::kDouble : at::kFloat;
  parts.device = parse_device(recipe, parts.general);
  parts.resolved = echoed(parts.general);
}

void build_data(const Config& recipe, const DataPath& path, Parts& parts) {
  const Config& data = required_table(recipe, "data");
  part_name(data, "data");
  parts.data = make_data(data, parts.rng("data"), path);
  // Grey images are stored without a channel; networks on images want one.
  const Shape event = parts.data->model_event();
  if (event.size() == 2) parts.data->pipeline.append(make_reshape(event, {1, event[0], event[1]}));
  resolve_data(data, parts);
}

void build_rest(const Config& recipe, Parts& parts) {
  build_manifold(recipe, parts);
  build_networks(recipe, parts);
  if (parts.manifold && parts.manifold->antipodal() && parts.model_name != "inner_product")
    throw RequestError("model.name", "x and -x are the same point here, and this energy does not know",
                       "model.name = \"inner_product\"");
  parts.vae = load_frozen_vae(recipe, parts);
  recipe.declare_key("sampler");
  if (recipe.contains("sampler")) {
    Config resolved;
    parts.kernel = build_kernel(recipe.at_table("sampler"), "sampler", resolved);
    parts.resolved.set("sampler", std::move(resolved));
  }
  build_sample(recipe, parts);
  parts.train = read_options<TrainOptions>(recipe.at_table("train"), "train");
  parts.resolved.set("train", echoed(parts.train));
  build_phases(recipe, parts);
  build_evaluate(recipe, parts);
  if (dynamic_cast<const ClosedFormEnergy*>(parts.energy.get())) {
    parts.finalise = read_options<FinaliseOptions>(recipe.at_table("finalise"), "finalise");
    parts.resolved.set("finalise", echoed(*parts.finalise));
  }
}

}  // namespace

void Parts::require_density(const std::string& who) const {
  require_energy(who);
  if (vae.space)
    throw RequestError(who, "the density of this model is that of its auto-encoder times that of its energy",
                       "metric 'noise_space_log_z' finds its normaliser");
}

bool Parts::flat() const { return !manifold || (manifold->isometric() && std::isinf(manifold->injectivity_radius())); }

void Parts::require_metric(const std::string& name, const std::string& origin) const {
  const MetricEntry& metric = find_metric(name);
  if (!metric.needs_energy) return;
  require_density(fmt::format("metric {}", name));
  if (!metric.on_manifolds) require_flat(*this, origin, fmt::format("metric '{}'", name));
}

Tensor Parts::like() const { return torch::empty({0}, torch::dtype(dtype).device(device)); }

Networks make_networks_like(const Parts& parts, const Config& tables) {
  Config ignored = Config::table();
  return make_networks(
      tables, [&](const std::string& stream) { return model_context(parts, stream); }, ignored);
}

Parts build_parts(const Config& recipe, const DataPath& path) {
  Parts parts;
  build_general(recipe, parts);
  build_data(recipe, path, parts);
  range_of_training_points(parts);
  build_rest(recipe, parts);
  recipe.require_all_read();
  return parts;
}

Config run_recipe(const RunDirectory& run, const std::vector<std::string>& overrides) {
  Config recipe = run.recipe();
  // Another kernel starts from its own defaults.
  for (const std::string& assignment : overrides) {
    const std::string name = "sampler.name=";
    if (assignment.rfind(name, 0) != 0 || !recipe.contains("sampler")) continue;
    const Config* known = recipe.at_table("sampler").find("name");
    if (!known || known->string() != parse_value(assignment.substr(name.size()), "--set sampler.name").string())
      recipe.erase("sampler");
  }
  std::set<std::string> free = settings_of_sampling();
  free.insert({"device", "evaluate", "model.precision", "vae.run"});
  for (const std::string& assignment : overrides) {
    const std::string key = assigned_key(assignment);
    if (!covers(free, key))
      throw RequestError("--set", fmt::format("'{}' cannot change once a run is trained", table_of(key)),
                         fmt::format("only {} can", fmt::join(free, ", ")));
    apply_override(recipe, assignment);
  }
  return recipe;
}

Parts load_run(const RunDirectory& run, const std::vector<std::string>& overrides, bool with_data, const DataPath& path,
               Logger& logger, std::int64_t* step) {
  const Config recipe = run_recipe(run, overrides);
  Parts parts;
  build_general(recipe, parts);
  parts.transforms = run.read_transforms();
  if (with_data)
    build_data(recipe, path, parts);
  else
    parts.resolved.set("data", required_table(recipe, "data"));
  build_rest(recipe, parts);
  if (!with_data) required_table(recipe, "data").mark_all_read();
  recipe.require_all_read();

  const Checkpoint checkpoint = run.checkpoints().load_best(logger);
  load_parts(checkpoint, parts.named_parts());
  for (const Part& part : parts.named_parts()) part.module->eval();
  if (step) *step = checkpoint.step;
  return parts;
}

FileOptions file_options(const Parts& parts) {
  FileOptions options;
  const Shape& event = parts.transforms.event;
  if (event.size() == 3 && event[1] == event[2]) options.images.size = event[1];
  return options;
}

std::string data_name(const Parts& parts) { return parts.resolved.find("data")->find("name")->string(); }

}  // namespace gibbsite
