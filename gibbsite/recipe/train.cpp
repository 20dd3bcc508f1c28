#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/core/ranks.h>
#include <gibbsite/core/text.h>
#include <gibbsite/model/classifier.h>
#include <gibbsite/model/closed_form_energy.h>
#include <gibbsite/recipe/export.h>
#include <gibbsite/recipe/guards.h>
#include <gibbsite/recipe/parse.h>
#include <gibbsite/recipe/train.h>
#include <gibbsite/recipe/write.h>
#include <gibbsite/report/event_file.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>

namespace gibbsite {
namespace {

constexpr std::int64_t kRefitRows = 1000;
constexpr std::int64_t kShownRows = 512;
constexpr std::int64_t kShownImages = 64;

// The folder, made where it is missing, once no other process has it.
std::shared_ptr<void> take_folder(const std::string& folder, const Ports& ports) {
  bool said = false;
  while (true) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error) throw WorkError(folder, fmt::format("cannot make the directory: {}", error.message()));
    if (std::shared_ptr<void> lock = lock_folder(folder, false)) return lock;
    if (ports.interrupt->requested()) throw Interrupted("train", fmt::format("stopped before {}", folder));
    if (!said) ports.logger->info(fmt::format("{}: another process trains it", folder));
    said = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

/// Solves the weights of a model that has them in closed form; empty for others.
std::function<void(std::int64_t)> make_refit(const Parts& parts) {
  auto* energy = dynamic_cast<ClosedFormEnergy*>(parts.energy.get());
  const std::optional<FitProblem> problem = parts.phases.front().objective->fit_problem();
  if (!energy || !problem) return {};
  const Tensor training = parts.data->prepared(parts.data->splits.train, "train", parts.dtype).to(parts.device);
  const Rng rng = parts.rng("refit");
  return [=](std::int64_t step) {
    Rng own = rng.at_step(static_cast<std::uint64_t>(step));
    const Tensor order = own.stream("rows").permutation(training.size(0)).to(training.device());
    energy->refit(training.index_select(0, order.slice(0, 0, std::min(kRefitRows, training.size(0)))), *problem, own);
  };
}

/// The weights in closed form of the best checkpoint from all rows, put back into it.
void finalise_run(const Parts& parts, const CheckpointStore& store, Logger& logger) {
  auto* energy = dynamic_cast<ClosedFormEnergy*>(parts.energy.get());
  const Objective& objective = *parts.phases.front().objective;
  if (!energy || !objective.fit_problem()) return;
  Checkpoint best = store.load_best(logger);
  const std::pair<std::string, std::string> done = {"finalised", "true"};
  if (std::find(best.notes.begin(), best.notes.end(), done) != best.notes.end()) return;
  load_parts(best, {{"model", &energy->module()}});
  const auto rows = [&](const Dataset& split, const char* name) {
    return parts.data->prepared(split, name, parts.dtype).to(parts.device);
  };
  const Splits& splits = parts.data->splits;
  finalise(*energy, objective, rows(splits.train, "train"), rows(splits.validation, "validation"), *parts.finalise,
           parts.rng("finalise"));
  for (auto& [name, tensor] : best.tensors) {
    if (name == "parameter/model/log_ridge") tensor = energy->log_ridge().detach().cpu();
    if (name == "buffer/model/weights") tensor = energy->weights().detach().cpu();
  }
  best.notes.push_back(done);
  write_checkpoint(store.best_path(), best);
}

/// The loss of the last phase, which the others serve, on the whole validation split under noise that is the same every time, and the accuracy
/// of a classifier. Models with weights in closed form are first refitted on kRefitRows training rows, and their noise is
/// new every time (fd_score_matching.md 5.2). Empty for objectives with a state, which an evaluation would change.
Validation make_validation(const Parts& parts) {
  const Dataset& rows = parts.data->splits.validation;
  const Objective* objective = parts.phases.back().objective.get();
  if (rows.size() == 0 || !objective->state().empty()) return {};
  const Tensor x = parts.data->prepared(rows, "validation", parts.dtype).to(parts.device);
  const Tensor label = rows.label.defined() ? rows.label.to(parts.device) : rows.label;
  const std::int64_t chunk = std::max<std::int64_t>(parts.train.batch_size, 1);
  const auto* classifier = dynamic_cast<const Classifier*>(parts.energy.get());
  const Rng rng = parts.rng("validation");
  const std::function<void(std::int64_t)> refit = make_refit(parts);
  return [=](std::int64_t step) {
    if (refit) refit(step);
    double loss = 0, right = 0;
    const auto n = static_cast<double>(x.size(0));
    for (std::int64_t first = 0; first < x.size(0); first += chunk) {
      const std::int64_t count = std::min(chunk, x.size(0) - first);
      Batch batch;
      batch.x = x.narrow(0, first, count);
      if (label.defined()) batch.label = label.narrow(0, first, count);
      batch.first_row = first;
      batch.global_size = x.size(0);
      Rng noise = rng.at_step(refit ? static_cast<std::uint64_t>(step) : 0).at_row(first);
      loss += (*objective)(batch, noise).log.front().second.item<double>() * static_cast<double>(count) / n;
      if (classifier && label.defined()) {
        const torch::NoGradGuard no_grad;
        right += classifier->logits(batch.x).argmax(1).eq(batch.label).sum().item<double>();
      }
    }
    NamedNumbers numbers = {{"loss", loss}};
    if (classifier && label.defined()) numbers.emplace_back("accuracy", right / n);
    return numbers;
  };
}

/// Numbers go to the run and to whoever asked for them.
class BothWriters : public MetricWriter {
 public:
  BothWriters(MetricWriter& first, MetricWriter& second) : first_(first), second_(second) {}
  void write(std::int64_t step, const std::string& phase, const NamedNumbers& numbers) override {
    first_.write(step, phase, numbers);
    second_.write(step, phase, numbers);
  }
  void flush() override {
    first_.flush();
    second_.flush();
  }

 private:
  MetricWriter &first_, &second_;
};

/// metrics.jsonl and TensorBoard's events of a run. Events are a convenience: where they cannot be written, training goes on
/// without them.
class RunMetrics : public MetricWriter {
 public:
  RunMetrics(const RunDirectory& run, std::int64_t last_step, Logger& logger)
      : lines_(run.metric_writer(last_step)), logger_(logger) {
    guarded([&] { events_ = std::make_unique<EventFile>(run.path(), last_step + 1); });
  }
  void write(std::int64_t step, const std::string& phase, const NamedNumbers& numbers) override {
    lines_->write(step, phase, numbers);
    show([&](EventFile& events) { events.write(step, phase, numbers); });
  }
  void flush() override {
    lines_->flush();
    show([](EventFile& events) { events.flush(); });
  }
  /// More to show than numbers; nothing is done where there is no file of events.
  template <class Work>
  void show(const Work& work) {
    if (events_) guarded([&] { work(*events_); });
  }

 private:
  std::unique_ptr<MetricWriter> lines_;
  std::unique_ptr<EventFile> events_;
  Logger& logger_;

  template <class Work>
  void guarded(const Work& work) {
    try {
      work();
    } catch (const WorkError& error) {
      logger_.warn(fmt::format("no more events for TensorBoard: {}", error.what()));
      events_.reset();
    }
  }
};

/// Points in original units as images in [0, 1]; undefined for others.
Tensor shown_images(const Parts& parts, const Tensor& x) {
  const StoredTransforms& stored = parts.transforms;
  const bool images =
      stored.event.size() == 2 || (stored.event.size() == 3 && (stored.event[0] == 1 || stored.event[0] == 3));
  if (!images || stored.value_high <= stored.value_low) return {};
  return (x.to(torch::kDouble) - stored.value_low) / (stored.value_high - stored.value_low);
}

/// Parameters and energies as histograms, and samples where they cost no chains.
void show_state(const Parts& parts, std::int64_t step, RunMetrics& metrics) {
  metrics.show([&](EventFile& events) {
    const torch::NoGradGuard no_graph;
    for (const Part& part : parts.named_parts())
      for (const auto& parameter : part.module->named_parameters())
        events.histogram(step, part.name + "/" + parameter.key(), parameter.value());
    const Dataset& rows = parts.data->splits.validation;
    if (parts.energy && !parts.vae.space && rows.size() > 0) {
      const Tensor x = rows.x.narrow(0, 0, std::min(kShownRows, rows.size()));
      const Tensor y = parts.transforms.pipeline.forward(x).to(parts.like().options());
      events.histogram(step, "validation/energy", parts.energy->energy(y));
    }
    if (parts.decoder && parts.prior) {
      Rng draws = parts.rng("shown");
      const Tensor means = parts.decoder->mean(parts.prior->sample(kShownImages, parts.like(), draws));
      const Tensor images = shown_images(parts, parts.transforms.pipeline.inverse(means).cpu());
      if (images.defined()) events.images(step, "samples", images);
    }
  });
}

/// `path`: a run, or a file that `gibbsite export` wrote.
void start_from(const std::string& path, const Parts& parts, Logger& logger) {
  if (std::filesystem::is_regular_file(path)) {
    load_exported(path, parts);
    return;
  }
  const RunDirectory other = RunDirectory::open(path);
  load_parts(other.checkpoints().load_best(logger), parts.named_parts());
}

/// Saves what there is to go on from, and throws RankLost with where that is. Where rank 0 is lost, so is its hold of the run, and
/// another rank saves in its place; it may be on a machine that sees no such run.
[[noreturn]] void report_loss(const RankLost& lost, Trainer& trainer, const Parts& parts, const std::string& path,
                              std::optional<RunDirectory>& run) {
  constexpr int kTries = 10;
  constexpr std::chrono::milliseconds kBetween(200);
  const std::int64_t step = trainer.step();  // what is saved may be earlier
  std::string kept;
  for (int left = kTries; left > 0 && kept.empty(); --left) {
    try {
      if (!run) run = RunDirectory::create(path, parts.resolved, ExistingRun::kResume);
      kept = fmt::format("{} is there", run->checkpoints().path(trainer.save_after_loss(run->checkpoints())));
    } catch (const Error& error) {
      // A process that was killed keeps its hold for a moment.
      if (left == 1) kept = fmt::format("this rank saves nothing: {}", error.what());
      std::this_thread::sleep_for(kBetween);
    }
  }
  throw RankLost("train", fmt::format("stopped after step {}, because {}; {}", step, lost.what(), kept),
                 "--resume goes on, with any number of ranks");
}

}  // namespace

TrainerSetup training_setup(const Parts& parts, const Ports& ports) {
  TrainerSetup setup;
  setup.parts = parts.named_parts();
  for (const PhaseParts& phase : parts.phases) {
    TrainPhase made;
    made.name = phase.name;
    made.objective = phase.objective.get();
    made.trains = phase.trains;
    made.steps = phase.steps;
    made.batch_size = phase.batch_size;
    made.same_batch = phase.same_batch;
    made.optimizer = phase.optimizer;
    made.schedule = phase.schedule;
    made.clipping = phase.clipping;
    setup.phases.push_back(std::move(made));
  }
  setup.options = parts.train;
  setup.seed = static_cast<std::uint64_t>(parts.general.seed);
  const auto loader = std::make_shared<const Loader>(parts.data->loader(parts.dtype));
  const at::Device device = parts.device;
  setup.batches = [loader, device, &ranks = *ports.ranks](std::uint64_t step, std::int64_t batch_size) {
    const RowShare own = own_rows(ranks, batch_size, "batch_size");
    const Minibatch minibatch = loader->batch(static_cast<std::int64_t>(step), batch_size, own.first, own.count);
    Batch batch;
    batch.x = minibatch.x.to(device);
    if (minibatch.label.defined()) batch.label = minibatch.label.to(device);
    batch.first_row = own.first;
    batch.global_size = batch_size;
    return batch;
  };
  setup.notes = {{"recipe", write_toml(parts.resolved)}};
  setup.ports = ports;
  return setup;
}

std::string default_run(const std::string& recipe) { return "runs/" + std::filesystem::path(recipe).stem().string(); }

TrainOutcome train_or_resume(TrainRequest request, const Ports& ports) {
  request.lock = take_folder(request.out, ports);
  const bool started = !CheckpointStore(request.out).empty();
  request.existing = started ? ExistingRun::kResume : ExistingRun::kReplace;
  return train_recipe(request, ports);
}

std::int64_t steps_done(const std::string& run, Logger& logger) {
  const CheckpointStore checkpoints(run);
  return checkpoints.empty() ? 0 : checkpoints.load_newest(logger).step;
}

Config requested_recipe(const TrainRequest& request) {
  std::vector<std::string> set = request.set;
  if (request.seed) set.push_back(fmt::format("seed={}", *request.seed));
  if (!request.device.empty()) set.push_back("device=" + request.device);
  return load_recipe(find_recipe(request.recipe), set);
}

TrainOutcome train_recipe(const TrainRequest& request, const Ports& ports) {
  const Parts parts = build_parts(requested_recipe(request), request.path);
  for (const std::string& line : guard(parts)) ports.logger->warn(line);
  if (!ports.ranks->alone() && dynamic_cast<const ClosedFormEnergy*>(parts.energy.get()))
    throw RequestError(
        "model",
        fmt::format("the weights of '{}' are solved for on every batch, which ranks cannot share", parts.model_name),
        "train in one process");
  const bool resumes = request.existing == ExistingRun::kResume;
  if (!resumes && !parts.general.init_from.empty()) start_from(parts.general.init_from, parts, *ports.logger);

  TrainOutcome outcome;
  if (request.dry_run) {
    Trainer trainer(training_setup(parts, ports));
    outcome.dry_run = trainer.dry_run();
    return outcome;
  }
  outcome.run = request.out.empty() ? default_run(request.recipe) : request.out;
  Ranks& ranks = *ports.ranks;
  // Making a trainer refuses what ranks cannot share, and nothing is to be written before.
  if (!ranks.alone()) const Trainer refuses(training_setup(parts, ports));
  std::optional<RunDirectory> run;  // of whoever writes
  if (ranks.first()) {
    run = RunDirectory::create(outcome.run, parts.resolved, request.existing, request.lock);
    run->write_transforms(parts.transforms);
  }

  TrainerSetup setup = training_setup(parts, ports);
  setup.validate = make_validation(parts);
  setup.directory = outcome.run;
  std::int64_t step = -1;
  if (resumes && run) {
    // Where training goes on decides which lines of metrics are kept. The trainer warns of what is unreadable.
    Logger quiet;
    step = run->checkpoints().load_newest(quiet).step;
  }
  std::optional<RunMetrics> metrics;
  std::optional<BothWriters> both;
  if (run) {
    metrics.emplace(*run, step, *ports.logger);
    both.emplace(*metrics, *ports.metrics);
    setup.ports.metrics = &*both;
    if (setup.validate)
      setup.validate = [&parts, &metrics, validate = setup.validate](std::int64_t at) {
        NamedNumbers numbers = validate(at);
        show_state(parts, at, *metrics);
        return numbers;
      };
    if (const Tensor images = shown_images(parts, parts.data->splits.train.x.slice(0, 0, kShownImages));
        step < 0 && images.defined())
      metrics->show([&](EventFile& events) { events.images(0, "data", images); });
  }
  Trainer trainer(std::move(setup));
  if (step >= 0) {
    trainer.resume();
    ports.logger->info(fmt::format("resumed {} at step {}", outcome.run, trainer.step()));
  }
  try {
    outcome.result = trainer.run();
  } catch (const RankLost& lost) {
    report_loss(lost, trainer, parts, outcome.run, run);
  }
  if (!run) return outcome;
  finalise_run(parts, run->checkpoints(), *ports.logger);
  metrics->flush();
  return outcome;
}

}  // namespace gibbsite
