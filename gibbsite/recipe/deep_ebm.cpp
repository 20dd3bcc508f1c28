#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/text.h>
#include <gibbsite/metric/cost.h>
#include <gibbsite/metric/score_matching_loss.h>
#include <gibbsite/objective/denoising.h>
#include <gibbsite/recipe/build.h>
#include <gibbsite/recipe/deep_ebm.h>
#include <gibbsite/recipe/parse.h>
#include <gibbsite/recipe/step_cost.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <map>

namespace gibbsite {
namespace {

struct Method {
  const char *name, *objective, *derivative, *operations;
  bool batched;
  // Table 2: score-matching loss, seconds per iteration and bytes, at 128 filters on a GPU; 0: not printed.
  double loss, seconds, bytes;
};

const Method kMethods[] = {
    {"dsm", "mdsm", "autograd", "fast", true, -9.47e4, 0.282, 3.0e9},
    {"dsm-stock", "mdsm", "autograd", "stock", true, -9.47e4, 0.282, 3.0e9},
    {"fd-dsm", "mdsm", "finite_difference", "fast", true, -9.27e4, 0.162, 2.7e9},
    {"fd-dsm-stock", "mdsm", "finite_difference", "stock", true, -9.27e4, 0.162, 2.7e9},
    {"fd-dsm-sequential", "mdsm", "finite_difference", "fast", false, -9.24e4, 0.191, 3.2e9},
    {"jet-ssm", "ssm", "jet", "fast", true, 0, 0, 0},
    {"nested-ssm", "ssm", "autograd", "fast", true, -2.97e7, 0.673, 5.1e9},
    {"nested-ssm-stock", "ssm", "autograd", "stock", true, -2.97e7, 0.673, 5.1e9},
    {"ssm-vr", "ssm_vr", "autograd", "fast", true, -3.09e7, 0.670, 5.0e9},
    {"fd-ssm", "ssm", "finite_difference", "fast", true, -3.33e7, 0.230, 3.4e9},
    {"fd-ssm-stock", "ssm", "finite_difference", "stock", true, -3.33e7, 0.230, 3.4e9},
    {"fd-ssm-sequential", "ssm", "finite_difference", "fast", false, -3.36e7, 0.276, 3.7e9},
};

const std::vector<std::string> kRacers = {"jet-ssm", "fd-ssm", "dsm", "fd-dsm"};

struct Ratio {
  const char *of, *against;
  double published;  // 0: not printed
};

const Ratio kRatios[] = {
    {"jet-ssm", "fd-ssm", 0},
    {"jet-ssm", "nested-ssm", 0},
    {"jet-ssm", "nested-ssm-stock", 0},
    {"dsm", "fd-dsm", 0},
    {"dsm", "dsm-stock", 0},
    {"dsm-stock", "fd-dsm-stock", 282.0 / 162},
    {"nested-ssm-stock", "fd-ssm-stock", 673.0 / 230},
    {"ssm-vr", "fd-ssm", 0},
    {"fd-dsm-sequential", "fd-dsm", 191.0 / 162},
    {"fd-ssm-sequential", "fd-ssm", 276.0 / 230},
};

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Everything the methods share.
struct Shared {
  Parts parts;
  DeepEbmOptions options;
  std::vector<std::string> racers;  // those asked for, none for all
  Config denoising;                 // settings of the denoising objective
  double denoising_sigma = 0;
  std::string data;
  Tensor test;  // clean images
  double dimension = 0;
};

std::vector<std::string> scale_overrides(const std::string& scale) {
  if (scale == "smoke")
    return {"model.filters=16",    "train.batch_size=8",  "experiment.rounds=10",    "experiment.steps=0",
            "experiment.images=8", "experiment.probes=1", "experiment.minutes=0.02", "experiment.slice=0.5"};
  if (scale == "desk") return {};
  return {"model.filters=128",           "experiment.steps=300000",  "experiment.denoising_rate=5e-5",
          "experiment.sliced_rate=1e-5", "experiment.part=\"cost\"", "experiment.images=1500"};
}

Shared make_shared_parts(const ExperimentContext& context) {
  const std::string own = "experiment.";
  std::vector<std::string> set = scale_overrides(context.scale), recipe_set;
  set.insert(set.end(), context.set.begin(), context.set.end());
  Shared shared;
  shared.racers = take_methods(set, kRacers);
  Config settings = Config::table();
  for (const std::string& assignment : set) {
    if (assignment.rfind(own, 0) == 0)
      apply_override(settings, assignment.substr(own.size()));
    else
      recipe_set.push_back(assignment);
  }
  recipe_set.push_back(fmt::format("seed={}", context.seed));
  shared.options = read_options<DeepEbmOptions>(settings, "experiment");
  settings.require_all_read("experiment");
  if (!shared.racers.empty() && shared.options.part != "race")
    throw RequestError("--set method", "chooses methods of the race; needs --set experiment.part=race");
  const Config recipe = load_recipe(find_recipe("fd/deep-ebm"), recipe_set);
  shared.denoising = recipe.at_table("objective");
  shared.denoising_sigma = read_options<MultiscaleDenoisingOptions>(shared.denoising, "objective").sigma;
  shared.parts = build_parts(recipe, context.path);
  shared.data = data_name(shared.parts);
  const Data& data = *shared.parts.data;
  const std::int64_t images = std::min(shared.options.images, data.splits.test.size());
  shared.test = data.prepared(data.splits.test, "test", shared.parts.dtype).narrow(0, 0, images);
  shared.test = shared.test.to(shared.parts.device);
  shared.dimension = static_cast<double>(shared.test[0].numel());
  return shared;
}

// A model that one method trains; the next step is a function of the seed and the number of steps made.
class Contestant {
 public:
  Contestant(const Method& method, const Shared& shared)
      : method_(method),
        shared_(shared),
        denoising_(std::string(method.objective) == "mdsm"),
        rng_(shared.parts.rng(denoising_ ? "denoising" : "sliced")) {
    const Parts& parts = shared.parts;
    Config model = parts.resolved.at_table("model");
    model.set("operations", Config(method.operations));
    ModelContext context;
    context.event = parts.energy->event();
    context.init = parts.rng("init");
    context.dtype = parts.dtype;
    context.device = parts.device;
    energy_ = find_entry(energy_table(), "model", parts.model_name, "").make(model, context);
    ObjectiveParts needed;
    needed.energy = energy_.get();
    objective_ = find_entry(objective_table(), "objective", method.objective, "").make(objective_options(), needed);
    NamedTensors named;
    for (const auto& item : energy_->module().named_parameters()) named.emplace_back(item.key(), item.value());
    for (const auto& entry : named) parameters_.push_back(entry.second);
    named_ = named;
    optimizer_ = make_optimizer(parts.phases.front().optimizer, named);
  }

  const Method& method() const { return method_; }
  std::int64_t steps() const { return step_; }
  double elapsed = 0;  // seconds of training in the race

  Batch batch(std::int64_t step) const {
    if (!loader_) loader_.emplace(shared_.parts.data->loader(shared_.parts.dtype));
    Batch made;
    made.x = loader_->batch(step, shared_.parts.train.batch_size).x.to(shared_.parts.device);
    return made;
  }

  /// One training step: loss, gradients, clipping, optimiser. `progress` of the run decides the learning rate.
  void train(Batch batch, double progress) {
    batch.progress = progress;
    Rng rng = rng_.at_step(static_cast<std::uint64_t>(step_++));
    const Loss loss = (*objective_)(batch, rng);
    std::vector<Tensor> gradients = torch::autograd::grad({loss.backward}, parameters_, {}, {}, false, true);
    clip_gradients(gradients, shared_.parts.train.clipping);
    constexpr std::int64_t kFine = 1000000;
    const double rate = denoising_ ? shared_.options.denoising_rate : shared_.options.sliced_rate;
    const auto position = static_cast<std::int64_t>(progress * static_cast<double>(kFine));
    optimizer_->step(gradients, rate * schedule_factor(shared_.parts.phases.front().schedule, position, kFine));
  }

  /// -d/σ², the loss at clean images of the data smoothed by the noise that the method adds.
  double floor() const {
    const double sigma = denoising_ ? shared_.denoising_sigma : shared_.options.sliced_noise;
    return -shared_.dimension / (sigma * sigma);
  }

  Estimate loss() const {
    const at::NoGradGuard no_grad;
    Rng rng = shared_.parts.rng("probes");
    return sliced_score_matching_loss(scalar_function(*energy_), shared_.test, shared_.options.probes, rng, 64);
  }

  const Energy& energy() const { return *energy_; }

  /// Live tensors that decide the rest of its training.
  NamedTensors state() const {
    NamedTensors tensors = named_;
    for (const auto& entry : optimizer_->state()) tensors.emplace_back("optimizer/" + entry.first, entry.second);
    return tensors;
  }
  void restore_step(std::int64_t step) { step_ = step; }

 private:
  Method method_;
  const Shared& shared_;
  bool denoising_;
  Rng rng_;
  std::unique_ptr<Energy> energy_;
  std::unique_ptr<Objective> objective_;
  std::unique_ptr<Optimizer> optimizer_;
  NamedTensors named_;
  std::vector<Tensor> parameters_;
  std::int64_t step_ = 0;
  mutable std::optional<Loader> loader_;

  Config objective_options() const {
    Config options = denoising_ ? shared_.denoising : Config::table({{"noise", Config(shared_.options.sliced_noise)}});
    options.set("derivative", Config(method_.derivative));
    if (std::string(method_.derivative) == "finite_difference") {
      options.set("epsilon", Config(shared_.options.epsilon));
      options.set("projection", Config("sphere"));
      options.set("batched", Config(method_.batched));
    } else if (!denoising_) {
      options.set("projection", Config("gaussian"));
    }
    return options;
  }
};

class Rows {
 public:
  explicit Rows(const Shared& shared) : data_(shared.data) {}
  std::vector<Row> rows;
  Row& add(const std::string& method, const char* metric, double value, const char* unit, double published = 0) {
    Row row;
    row.method = method;
    row.dataset = data_;
    row.metric = metric;
    row.value = value;
    row.unit = unit;
    if (published != 0) row.published = published;
    rows.push_back(std::move(row));
    return rows.back();
  }

 private:
  std::string data_;
};

void check_interrupt(const Ports& ports, const std::string& where) {
  if (ports.interrupt->requested()) throw Interrupted("reproduce", "stopped " + where);
}

/// Adds sm_loss and sm_share; returns the share.
double add_loss(Rows& rows, const Contestant& contestant, double minutes) {
  const Estimate loss = contestant.loss();
  const Method& method = contestant.method();
  const double floor = contestant.floor();
  // The published losses are of this floor too: d = 1024, σ = 0.1 and 0.005.
  Row& value = rows.add(method.name, "sm_loss", loss.value, "1", method.loss);
  value.standard_error = loss.standard_error;
  value.settings["truth"] = floor;
  if (minutes > 0) value.settings["minutes"] = minutes;
  Row& share = rows.add(method.name, "sm_share", loss.value / floor, "1", method.loss / floor);
  share.standard_error = loss.standard_error / std::abs(floor);
  if (minutes > 0) share.settings["minutes"] = minutes;
  return loss.value / floor;
}

void cost_part(const Shared& shared, const ExperimentContext& context, const Ports& ports, ExperimentOutcome& outcome) {
  std::vector<std::unique_ptr<Contestant>> contestants;
  for (const Method& method : kMethods) contestants.push_back(std::make_unique<Contestant>(method, shared));
  // Reading data is no part of a step, so the batches of the timed rounds are there before.
  constexpr std::int64_t kUntimed = 4;  // warm-up, memory twice, multiply-adds
  const std::int64_t prepared = shared.options.rounds + kUntimed;
  const std::int64_t total = std::max(prepared, shared.options.steps);
  std::vector<Batch> batches;
  for (std::int64_t step = 0; step < prepared; ++step) batches.push_back(contestants.front()->batch(step));
  std::vector<Work> work;
  work.reserve(contestants.size());
  for (const auto& contestant : contestants)
    work.emplace_back([&batches, &ports, total, one = contestant.get()] {
      check_interrupt(ports, "while timing");
      one->train(batches[static_cast<std::size_t>(one->steps())],
                 static_cast<double>(one->steps()) / static_cast<double>(total));
    });

  auto threads = std::make_unique<ThreadCount>(shared.options.threads);
  const auto forward = static_cast<double>(count_multiply_adds([&] {
                                             const at::NoGradGuard no_grad;
                                             contestants.front()->energy().energy(batches.front().x);
                                           }).total);
  ports.logger->info(fmt::format("timing {} methods, {} rounds", work.size(), shared.options.rounds));
  TimingSettings timing;
  timing.rounds = shared.options.rounds;
  const std::vector<Timing> timings = time_interleaved(work, timing);

  Rows rows(shared);
  rows.add("forward", "multiply_adds", forward, "multiply-adds");
  std::map<std::string, std::size_t> index;
  std::vector<double> peaks, passes;
  const double threads_used = at::get_num_threads();
  for (std::size_t i = 0; i < work.size(); ++i) {
    const Method& method = contestants[i]->method();
    index[method.name] = i;
    Row& time = rows.add(method.name, "seconds_per_step", timings[i].seconds.value, "s", method.seconds);
    time.standard_error = timings[i].seconds.standard_error;
    time.settings["threads"] = threads_used;
    peaks.push_back(static_cast<double>(peak_bytes(work[i])));
    rows.add(method.name, "peak_bytes", peaks.back(), "bytes", method.bytes);
    const auto count = static_cast<double>(count_multiply_adds(work[i]).total);
    rows.add(method.name, "multiply_adds", count, "multiply-adds");
    passes.push_back(count / forward);
    rows.add(method.name, "forward_passes", passes.back(), "F");
  }
  for (const Ratio& ratio : kRatios) {
    const std::size_t of = index.at(ratio.of), against = index.at(ratio.against);
    const Estimate estimate = time_ratio(timings[of], timings[against]);
    Row& time = rows.add(ratio.of, "time_ratio", estimate.value, "1", ratio.published);
    time.standard_error = estimate.standard_error;
    time.settings["against"] = std::string(ratio.against);
    time.settings["threads"] = threads_used;
    const double memory = peaks[of] / peaks[against];
    rows.add(ratio.of, "memory_ratio", memory, "1").settings["against"] = std::string(ratio.against);
    outcome.summary.push_back(fmt::format("{} / {}: time {}, memory {:.3f}", ratio.of, ratio.against,
                                          format_estimate(estimate.value, estimate.standard_error), memory));
  }

  threads.reset();
  for (std::int64_t step = prepared; step < total; ++step)
    for (const auto& contestant : contestants) {
      check_interrupt(ports, fmt::format("after {} of {} steps", step, total));
      const double progress = static_cast<double>(step) / static_cast<double>(total);
      ports.logger->progress(fmt::format("step {} of {}", step, total), progress);
      contestant->train(contestants.front()->batch(step), progress);
    }
  for (std::size_t i = 0; i < work.size(); ++i) {
    const double share = add_loss(rows, *contestants[i], 0);
    outcome.summary.push_back(fmt::format("{}: {:.4g} s, {:.2f} F, peak {}, SM loss {:.3f} of the floor",
                                          contestants[i]->method().name, timings[i].seconds.value, passes[i],
                                          format_bytes(peaks[i]), share));
  }
  context.add(rows.rows);
}

// The state of the race, so that an interrupted one goes on.
class RaceFile {
 public:
  explicit RaceFile(std::string path) : path_(std::move(path)) {}

  void restore(std::vector<std::unique_ptr<Contestant>>& racers) const {
    if (!std::filesystem::exists(path_)) return;
    const Checkpoint checkpoint = read_checkpoint(path_);
    const at::NoGradGuard no_grad;
    for (auto& racer : racers) {
      const std::string prefix = std::string(racer->method().name) + "/";
      copy_tensors(checkpoint.under(prefix), racer->state(), path_);
      racer->restore_step(checkpoint.at("steps/" + prefix).item<std::int64_t>());
      racer->elapsed = checkpoint.at("elapsed/" + prefix).item<double>();
    }
  }

  void save(const std::vector<std::unique_ptr<Contestant>>& racers) const {
    Checkpoint checkpoint;
    for (const auto& racer : racers) {
      const std::string prefix = std::string(racer->method().name) + "/";
      for (const auto& [name, tensor] : racer->state()) checkpoint.tensors.emplace_back(prefix + name, tensor.detach());
      checkpoint.tensors.emplace_back("steps/" + prefix, torch::full({}, racer->steps(), torch::kLong));
      checkpoint.tensors.emplace_back("elapsed/" + prefix, torch::full({}, racer->elapsed, torch::kDouble));
    }
    write_checkpoint(path_, checkpoint);
  }

 private:
  std::string path_;
};

void race_part(const Shared& shared, const ExperimentContext& context, const Ports& ports, ExperimentOutcome& outcome) {
  std::vector<std::unique_ptr<Contestant>> racers;
  const std::vector<std::string>& asked = shared.racers;
  for (const std::string& name : kRacers)
    for (const Method& method : kMethods)
      if (method.name == name && (asked.empty() || std::count(asked.begin(), asked.end(), name) > 0))
        racers.push_back(std::make_unique<Contestant>(method, shared));
  // A race of some methods has a file of its own: turns of one are as long as those of the others.
  std::string path = context.directory + "/race";
  if (!asked.empty())
    for (const auto& racer : racers) path += std::string("-") + racer->method().name;
  const RaceFile file(path + ".pt");
  file.restore(racers);
  const double budget = 60 * shared.options.minutes;
  constexpr double kSaveEvery = 300;
  double saved = seconds_now();
  // Slices in turn, so that a disturbance of the machine hits all alike.
  for (bool running = true; running;) {
    running = false;
    for (auto& racer : racers) {
      const double slice = std::min(shared.options.slice, budget - racer->elapsed);
      if (slice <= 0) continue;
      running = true;
      const double start = seconds_now(), before = racer->elapsed;
      while (racer->elapsed - before < slice) {
        racer->train(racer->batch(racer->steps()), std::min(1.0, racer->elapsed / budget));
        racer->elapsed = before + seconds_now() - start;
      }
      ports.logger->progress(
          fmt::format("{}: {} steps in {}", racer->method().name, racer->steps(), format_duration(racer->elapsed)),
          racer->elapsed / budget);
      const bool stop = ports.interrupt->requested();
      if (stop || seconds_now() - saved > kSaveEvery) {
        file.save(racers);
        saved = seconds_now();
      }
      if (stop) throw Interrupted("reproduce", "stopped during the race; the state is saved");
    }
  }
  file.save(racers);
  Rows rows(shared);
  for (const auto& racer : racers) {
    const double share = add_loss(rows, *racer, shared.options.minutes);
    rows.add(racer->method().name, "steps", static_cast<double>(racer->steps()), "1").settings["minutes"] =
        shared.options.minutes;
    outcome.summary.push_back(fmt::format("{}: SM loss {:.4f} of the floor after {} steps in {}", racer->method().name,
                                          share, racer->steps(), format_duration(racer->elapsed)));
  }
  context.add(rows.rows);
}

}  // namespace

ExperimentOutcome reproduce_deep_ebm(const ExperimentContext& context, const Ports& ports) {
  const Shared shared = make_shared_parts(context);
  ExperimentOutcome outcome;
  const std::string& part = shared.options.part;
  // Only the cost part has this method.
  if (part != "race" && !context.done("nested-ssm-stock", shared.data)) cost_part(shared, context, ports, outcome);
  if (part != "cost") race_part(shared, context, ports, outcome);
  return outcome;
}

}  // namespace gibbsite
