#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/text.h>
#include <gibbsite/model/classifier.h>
#include <gibbsite/recipe/guards.h>
#include <gibbsite/recipe/parse.h>
#include <gibbsite/recipe/train.h>
#include <gibbsite/recipe/write.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <filesystem>

namespace gibbsite {
namespace {

/// The loss of the first phase on the whole validation split under noise that is the same every time, and the accuracy
/// of a classifier. Empty for objectives with a state, which an evaluation would change.
Validation make_validation(const Parts& parts) {
  const Dataset& rows = parts.data->splits.validation;
  const Objective* objective = parts.phases.front().objective.get();
  if (rows.size() == 0 || !objective->state().empty()) return {};
  const Tensor x = parts.data->prepared(rows, "validation", parts.dtype).to(parts.device);
  const Tensor label = rows.label.defined() ? rows.label.to(parts.device) : rows.label;
  const std::int64_t chunk = std::max<std::int64_t>(parts.train.batch_size, 1);
  const auto* classifier = dynamic_cast<const Classifier*>(parts.energy.get());
  const Rng rng = parts.rng("validation");
  return [=](std::int64_t) {
    double loss = 0, right = 0;
    const auto n = static_cast<double>(x.size(0));
    for (std::int64_t first = 0; first < x.size(0); first += chunk) {
      const std::int64_t count = std::min(chunk, x.size(0) - first);
      Batch batch;
      batch.x = x.narrow(0, first, count);
      if (label.defined()) batch.label = label.narrow(0, first, count);
      batch.first_row = first;
      batch.global_size = x.size(0);
      Rng noise = rng.at_row(first);
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

TrainerSetup make_setup(const Parts& parts, const Ports& ports) {
  TrainerSetup setup;
  setup.parts = {{"model", &parts.energy->module()}};
  for (const PhaseParts& phase : parts.phases) {
    TrainPhase made;
    made.name = phase.name;
    made.objective = phase.objective.get();
    made.trains = phase.trains;
    made.steps = phase.steps;
    made.batch_size = phase.batch_size;
    made.optimizer = phase.optimizer;
    made.schedule = phase.schedule;
    made.clipping = phase.clipping;
    setup.phases.push_back(std::move(made));
  }
  setup.options = parts.train;
  setup.seed = static_cast<std::uint64_t>(parts.general.seed);
  const auto loader = std::make_shared<const Loader>(parts.data->loader(parts.dtype));
  const at::Device device = parts.device;
  setup.batches = [loader, device](std::uint64_t step, std::int64_t batch_size) {
    const Minibatch minibatch = loader->batch(static_cast<std::int64_t>(step), batch_size);
    Batch batch;
    batch.x = minibatch.x.to(device);
    if (minibatch.label.defined()) batch.label = minibatch.label.to(device);
    batch.global_size = batch.x.size(0);
    return batch;
  };
  setup.validate = make_validation(parts);
  setup.notes = {{"recipe", write_toml(parts.resolved)}};
  setup.ports = ports;
  return setup;
}

void start_from(const std::string& path, const Parts& parts, Logger& logger) {
  const RunDirectory other = RunDirectory::open(path);
  load_parts(other.checkpoints().load_best(logger), {{"model", &parts.energy->module()}});
}

}  // namespace

std::string default_run(const std::string& recipe) { return "runs/" + std::filesystem::path(recipe).stem().string(); }

Config requested_recipe(const TrainRequest& request) {
  std::vector<std::string> set = request.set;
  if (request.seed) set.push_back(fmt::format("seed={}", *request.seed));
  if (!request.device.empty()) set.push_back("device=" + request.device);
  return load_recipe(find_recipe(request.recipe), set);
}

TrainOutcome train_recipe(const TrainRequest& request, const Ports& ports) {
  const Parts parts = build_parts(requested_recipe(request), request.path);
  for (const std::string& line : guard(parts)) ports.logger->warn(line);
  const bool resumes = request.existing == ExistingRun::kResume;
  if (!resumes && !parts.general.init_from.empty()) start_from(parts.general.init_from, parts, *ports.logger);

  TrainOutcome outcome;
  if (request.dry_run) {
    Trainer trainer(make_setup(parts, ports));
    outcome.dry_run = trainer.dry_run();
    return outcome;
  }
  outcome.run = request.out.empty() ? default_run(request.recipe) : request.out;
  const RunDirectory run = RunDirectory::create(outcome.run, parts.resolved, request.existing);
  run.write_transforms(parts.transforms);

  TrainerSetup setup = make_setup(parts, ports);
  setup.directory = run.path();
  std::int64_t step = -1;
  std::unique_ptr<MetricWriter> metrics;
  if (resumes) {
    // Where training goes on decides which lines of metrics are kept. The trainer warns of what is unreadable.
    Logger quiet;
    step = run.checkpoints().load_newest(quiet).step;
  }
  metrics = run.metric_writer(step);
  setup.ports.metrics = metrics.get();
  Trainer trainer(std::move(setup));
  if (step >= 0) {
    trainer.resume();
    ports.logger->info(fmt::format("resumed {} at step {}", run.path(), trainer.step()));
  }
  outcome.result = trainer.run();
  metrics->flush();
  return outcome;
}

}  // namespace gibbsite
