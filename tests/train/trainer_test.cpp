#include <gibbsite/core/error.h>
#include <gibbsite/train/trainer.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>
#include <limits>
#include <map>

#include "train/scratch.h"

namespace gibbsite {
namespace {

struct OneParameter : torch::nn::Module {
  Tensor value, visits;
  explicit OneParameter(const Tensor& initial)
      : value(register_parameter("value", initial.clone())),
        visits(register_buffer("visits", torch::zeros({}, torch::kLong))) {}
};

// Any formula as an objective; counts its calls in a buffer of its own that belongs to the checkpoint.
class Formula : public Objective {
 public:
  using Function = std::function<Loss(const Batch&, Rng&, Tensor& memory)>;
  explicit Formula(Function function) : function_(std::move(function)), memory_(torch::zeros({3}, torch::kFloat)) {}
  Loss operator()(const Batch& batch, Rng& rng) const override { return function_(batch, rng, memory_); }
  NamedTensors state() const override { return {{"memory", memory_}}; }
  void restore(const NamedTensors& state) override { memory_ = state.at(0).second; }

 private:
  Function function_;
  mutable Tensor memory_;
};

Loss plain_loss(const Tensor& backward) { return {backward, {{"loss", backward.detach()}}}; }

Batch noise_batch(std::uint64_t step, std::int64_t size) {
  Batch batch;
  batch.x = Rng(5, "data").at_step(step).normal({size, 2});
  return batch;
}

// A regression with noise from the step's generator and a memory that feeds back into the loss, so that anything a
// checkpoint forgets changes the bits.
struct Problem {
  std::shared_ptr<OneParameter> module = std::make_shared<OneParameter>(torch::tensor({0.3f, -0.7f}));
  std::shared_ptr<OneParameter> critic = std::make_shared<OneParameter>(torch::tensor({0.1f, 0.1f}));
  Formula objective{[this](const Batch& batch, Rng& rng, Tensor& memory) {
    const Tensor noise = rng.normal(batch.x.sizes(), batch.x);
    const Tensor loss = (module->value * batch.x + 0.3 * noise - batch.x * 2 + memory[0] * 0.01).pow(2).mean() +
                        0.1 * (critic->value * module->value).sum();
    memory = memory * 0.9 + loss.detach();
    module->visits.add_(1);
    return plain_loss(loss);
  }};
  Formula against{[this](const Batch& batch, Rng& rng, Tensor&) {
    const Tensor noise = rng.uniform({batch.x.size(0)}, batch.x).mean();
    return plain_loss((critic->value * noise - module->value).pow(2).mean());
  }};

  TrainerSetup setup(std::int64_t steps) {
    TrainerSetup setup;
    setup.parts = {{"model", module.get()}, {"critic", critic.get()}};
    TrainPhase phase;
    phase.name = "fit";
    phase.objective = &objective;
    phase.trains = {"model"};
    phase.optimizer.learning_rate = 0.02;
    setup.phases = {phase};
    setup.options.steps = steps;
    setup.options.batch_size = 16;
    setup.options.log_every = 10;
    setup.options.snapshot_every = 30;
    setup.seed = 11;
    setup.batches = noise_batch;
    return setup;
  }
  TrainerSetup two_phases(std::int64_t steps) {
    TrainerSetup both = setup(steps);
    TrainPhase phase;
    phase.name = "oppose";
    phase.objective = &against;
    phase.trains = {"critic"};
    phase.steps = 3;
    phase.optimizer.name = "rmsprop";
    phase.optimizer.learning_rate = 0.005;
    both.phases.insert(both.phases.begin(), phase);
    both.options.ema_decay = 0.95;
    both.phases[0].clipping = ClippingOptions{0.5, 0};
    both.phases[1].schedule.name = "cosine";
    both.phases[1].schedule.total_steps = 200;
    return both;
  }
};

class InterruptAfter : public Interrupt {
 public:
  explicit InterruptAfter(std::int64_t polls) : left_(polls) {}
  bool requested() override { return left_-- <= 0; }

 private:
  std::int64_t left_;
};

class MemoryMetrics : public MetricWriter {
 public:
  struct Line {
    std::int64_t step;
    std::string phase;
    std::map<std::string, double> numbers;
  };
  std::vector<Line> lines;
  int flushes = 0;
  void write(std::int64_t step, const std::string& phase, const NamedNumbers& numbers) override {
    lines.push_back({step, phase, {numbers.begin(), numbers.end()}});
  }
  void flush() override { ++flushes; }
};

void expect_same_bits(const NamedTensors& a, const NamedTensors& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].first, b[i].first);
    EXPECT_TRUE(torch::equal(a[i].second, b[i].second)) << a[i].first << "\n" << a[i].second << "\n" << b[i].second;
  }
}

// Bar: 200 steps against 100 steps, a checkpoint, fresh objects, and 100 more.
TEST(Trainer, BatchOfTheStepServesAllUpdatesOfAPhaseThatWantsIt) {
  for (const bool same : {false, true}) {
    Problem problem;
    TrainerSetup setup = problem.two_phases(3);
    std::vector<std::uint64_t> read;
    setup.phases[0].batches = [&](std::uint64_t step, std::int64_t size) {
      read.push_back(step);
      return noise_batch(step, size);
    };
    setup.phases[0].same_batch = same;
    Trainer(std::move(setup)).run();
    const std::vector<std::uint64_t> expected =
        same ? std::vector<std::uint64_t>{0, 1, 2} : std::vector<std::uint64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8};
    EXPECT_EQ(read, expected);
  }
}

TEST(Trainer, ResumeHasTheBitsOfAnUninterruptedRun) {
  for (const bool two : {false, true}) {
    Problem straight;
    Trainer whole(two ? straight.two_phases(200) : straight.setup(200));
    whole.run();
    const ScratchDirectory scratch;
    {
      Problem first;
      TrainerSetup setup = two ? first.two_phases(100) : first.setup(100);
      setup.directory = scratch.path();
      Trainer(std::move(setup)).run();
    }
    Problem second;
    TrainerSetup setup = two ? second.two_phases(200) : second.setup(200);
    setup.directory = scratch.path();
    Trainer rest(std::move(setup));
    EXPECT_EQ(rest.resume(), 100);
    EXPECT_EQ(rest.run().step, 200);
    expect_same_bits(whole.state(), rest.state());
    EXPECT_EQ(second.module->visits.item<std::int64_t>(), 200);
    EXPECT_EQ(CheckpointStore(scratch.path()).steps(), (std::vector<std::int64_t>{100, 200}));
  }
}

// Stops inside a step of several updates, between snapshots, again and again.
TEST(Trainer, InterruptSavesAndResumesAnywhere) {
  Problem straight;
  Trainer whole(straight.two_phases(60));
  whole.run();
  const ScratchDirectory scratch;
  int interruptions = 0;
  for (bool finished = false; !finished;) {
    Problem problem;
    InterruptAfter interrupt(37);
    TrainerSetup setup = problem.two_phases(60);
    setup.directory = scratch.path();
    setup.ports.interrupt = &interrupt;
    Trainer trainer(std::move(setup));
    if (interruptions > 0) trainer.resume();
    try {
      trainer.run();
      expect_same_bits(whole.state(), trainer.state());
      finished = true;
    } catch (const Interrupted& error) {
      EXPECT_EQ(error.exit_code(), 130);
      EXPECT_NE(std::string(error.what()).find(scratch.path()), std::string::npos);
      ++interruptions;
      ASSERT_LT(interruptions, 20);
    }
  }
  EXPECT_EQ(interruptions, 240 / 37);
}

TEST(Trainer, PhasesTrainTheirOwnPartsOnly) {
  Problem problem;
  TrainerSetup setup = problem.two_phases(4);
  std::vector<std::string> order;
  std::vector<std::uint64_t> batches;
  Formula first([&](const Batch&, Rng& rng, Tensor&) {
    order.emplace_back("first");
    EXPECT_EQ(rng.step(), batches.back());
    EXPECT_FALSE(problem.module->value.requires_grad());
    return plain_loss((problem.critic->value * problem.module->value).sum());
  });
  Formula second([&](const Batch&, Rng&, Tensor&) {
    order.emplace_back("second");
    EXPECT_FALSE(problem.critic->value.requires_grad());
    return plain_loss((problem.critic->value * problem.module->value).sum());
  });
  setup.phases[0].objective = &first;
  setup.phases[0].optimizer.name = setup.phases[1].optimizer.name = "sgd";
  setup.phases[1].objective = &second;
  setup.phases[1].trains = {"model"};
  setup.phases[0].steps = 2;
  setup.phases[0].clipping.reset();
  setup.phases[1].schedule = {};
  setup.batches = [&](std::uint64_t step, std::int64_t size) {
    batches.push_back(step);
    return noise_batch(step, size);
  };
  setup.options.steps = 3;
  Trainer trainer(std::move(setup));
  trainer.run();
  EXPECT_EQ(order, (std::vector<std::string>{"first", "first", "second", "first", "first", "second", "first", "first",
                                             "second"}));
  EXPECT_EQ(batches, (std::vector<std::uint64_t>{0, 1, 0, 2, 3, 1, 4, 5, 2}));
  EXPECT_FALSE(problem.module->value.grad().defined());
  EXPECT_FALSE(problem.critic->value.grad().defined());
  EXPECT_TRUE(problem.module->value.requires_grad()) << "given back as it was";
  // critic -= 0.005 model twice, then model -= 0.02 critic, by hand.
  double model = 0.3f, critic = 0.1f;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 2; ++i) critic -= 0.005 * model;
    model -= 0.02 * critic;
  }
  EXPECT_NEAR(problem.module->value[0].item<double>(), model, 1e-6);
  EXPECT_NEAR(problem.critic->value[0].item<double>(), critic, 1e-6);
}

TEST(Trainer, EarlyStoppingReturnsToTheBest) {
  for (const bool resumed : {false, true}) {
    const ScratchDirectory scratch;
    // The numbers of validations 1, 2, …; the best is the third, at step 30.
    const std::vector<double> numbers = {5, 4, 1, 3, std::nan(""), 2, 0};
    std::map<std::int64_t, Tensor> seen;
    const auto make = [&](Problem& problem) {
      TrainerSetup setup = problem.two_phases(1000);
      setup.directory = scratch.path();
      setup.options.validate_every = 10;
      setup.options.patience = 3;
      setup.options.select = "distance";
      setup.options.checkpoint_every = 25;
      setup.validate = [&](std::int64_t step) {
        seen[step] = problem.module->value.detach().clone();
        return NamedNumbers{{"other", 0.0}, {"distance", numbers.at(static_cast<std::size_t>(step / 10 - 1))}};
      };
      return setup;
    };
    if (resumed) {
      Problem before;
      InterruptAfter interrupt(4 * 47);
      TrainerSetup setup = make(before);
      setup.ports.interrupt = &interrupt;
      EXPECT_THROW(Trainer(std::move(setup)).run(), Interrupted);
    }
    Problem problem;
    Trainer trainer(make(problem));
    if (resumed) {
      EXPECT_EQ(trainer.resume(), 47);
    }
    const TrainResult result = trainer.run();
    EXPECT_TRUE(result.stopped_early);
    EXPECT_EQ(result.step, 60);
    EXPECT_EQ(result.best_step, 30);
    EXPECT_EQ(result.best, 1);
    // Validation saw the averages, and those are what is back.
    const EmaScope scope(trainer.ema());
    EXPECT_TRUE(torch::equal(problem.module->value.detach(), seen.at(30)));
    EXPECT_FALSE(torch::equal(seen.at(30), seen.at(60)));

    MemoryLogger logger;
    const CheckpointStore store(scratch.path());
    EXPECT_EQ(store.load_best(logger).step, 30);
    EXPECT_EQ(store.load_newest(logger).step, 60);
    Problem loaded;
    load_parts(store.load_best(logger), {{"model", loaded.module.get()}});
    EXPECT_TRUE(torch::equal(loaded.module->value.detach(), seen.at(30)));
    load_parts(store.load_best(logger), {{"model", loaded.module.get()}}, Weights::kLast);
    EXPECT_FALSE(torch::equal(loaded.module->value.detach(), seen.at(30)));

    Problem again;
    Trainer finished(make(again));
    finished.resume();
    EXPECT_TRUE(finished.run().stopped_early) << "a stopped run stays stopped";
    EXPECT_TRUE(torch::equal(again.module->value.detach(), problem.module->value.detach()) == false);
  }
}

TEST(Trainer, LargestNumberCanBeTheBest) {
  Problem problem;
  TrainerSetup setup = problem.setup(40);
  setup.options.validate_every = 10;
  setup.options.select_mode = "max";
  setup.validate = [](std::int64_t step) { return NamedNumbers{{"accuracy", step == 20 ? 0.9 : 0.5}}; };
  Trainer trainer(std::move(setup));
  const TrainResult result = trainer.run();
  EXPECT_EQ(result.best_step, 20);
  EXPECT_FALSE(result.stopped_early);
}

TEST(Trainer, UnknownSelectionIsRefusedWithAHint) {
  Problem problem;
  TrainerSetup setup = problem.setup(40);
  setup.options.validate_every = 10;
  setup.options.select = "acuracy";
  setup.validate = [](std::int64_t) { return NamedNumbers{{"accuracy", 0.5}}; };
  Trainer trainer(std::move(setup));
  EXPECT_THROW(trainer.run(), RequestError);
}

// ---- divergence

enum class Trouble { kLoss, kGradient, kNorm, kGap };

// Gradient descent on k‖value‖²/2 with a trouble whenever `when` says so.
struct Diverging {
  std::shared_ptr<OneParameter> module = std::make_shared<OneParameter>(torch::ones({2}));
  Trouble trouble;
  std::function<bool(std::int64_t call)> when;
  std::int64_t calls = 0;
  Formula objective{[this](const Batch&, Rng&, Tensor&) {
    const bool now = when(calls++);
    Tensor loss = 0.5 * module->value.pow(2).sum() + 0.1 * module->value.sum();
    double gap = 0.1;
    if (now && trouble == Trouble::kLoss) loss = loss * std::nan("");
    if (now && trouble == Trouble::kGradient) loss = loss + (module->value - module->value.detach()).sqrt().sum();
    if (now && trouble == Trouble::kNorm) loss = loss * 1e5;
    if (now && trouble == Trouble::kGap) gap = -1e6;
    return Loss{loss, {{"loss", loss.detach()}, {"energy_gap", torch::full({}, gap)}}};
  }};

  TrainerSetup setup() {
    TrainerSetup setup;
    setup.parts = {{"model", module.get()}};
    TrainPhase phase;
    phase.name = "fit";
    phase.objective = &objective;
    phase.optimizer.name = "sgd";
    phase.optimizer.learning_rate = 1e-3;
    setup.phases = {phase};
    setup.options.steps = 200;
    setup.options.snapshot_every = 20;
    setup.batches = noise_batch;
    return setup;
  }
};

TEST(Trainer, DivergenceRollsBackWithALowerRate) {
  for (const Trouble trouble : {Trouble::kLoss, Trouble::kGradient, Trouble::kNorm, Trouble::kGap}) {
    Diverging problem;
    problem.trouble = trouble;
    problem.when = [](std::int64_t call) { return call == 73; };
    MemoryLogger logger;
    TrainerSetup setup = problem.setup();
    setup.ports.logger = &logger;
    Trainer trainer(std::move(setup));
    const TrainResult result = trainer.run();
    EXPECT_EQ(result.rollbacks, 1);
    EXPECT_EQ(result.step, 200);
    EXPECT_EQ(problem.calls, 200 + 14) << "steps 61 to 73 are made again, step 74 is tried again";
    ASSERT_EQ(logger.warnings.size(), 1u);
    for (const char* part : {"step 74", "back to step 60", "0.5", "rollback 1 of 5"})
      EXPECT_NE(logger.warnings[0].find(part), std::string::npos) << logger.warnings[0];
    // value + 0.1 shrinks by 1 − rate per step: 60 at 1e-3, then 140 at half of it.
    const double expected = 1.1 * std::pow(1 - 1e-3, 60) * std::pow(1 - 5e-4, 140) - 0.1;
    EXPECT_NEAR(problem.module->value[0].item<double>(), expected, 1e-5);
  }
}

// Losses k(call) (‖value‖²/2 + ...), that hardly move, with one that is no number; snapshots every 20 steps.
struct Story {
  std::function<double(std::int64_t call)> factor;
  std::int64_t failing_call = 0;
  double gradient_blowup = 1e9;  // so that only the loss tells
  std::int64_t updates = 1;      // per step

  TrainResult tell(MemoryLogger& logger, const std::string& directory = "", std::int64_t polls = 0,
                   NamedTensors* state = nullptr) const {
    std::int64_t calls = 0;
    for (bool resume = false;; resume = true) {
      Diverging problem;
      problem.trouble = Trouble::kGap;
      problem.when = [](std::int64_t) { return false; };
      Formula objective{[&](const Batch& batch, Rng& rng, Tensor&) {
        const std::int64_t call = calls++;
        const Loss plain = problem.objective(batch, rng);
        return plain_loss(plain.backward * (call == failing_call ? std::nan("") : factor(call)));
      }};
      TrainerSetup setup = problem.setup();
      setup.phases[0].objective = &objective;
      setup.phases[0].steps = updates;
      setup.phases[0].optimizer.learning_rate = 1e-9;
      TrainPhase quiet = setup.phases[0];
      quiet.name = "quiet";
      quiet.steps = 1;
      quiet.objective = &problem.objective;
      setup.phases.push_back(quiet);
      setup.options.gradient_blowup = gradient_blowup;
      setup.ports.logger = &logger;
      setup.directory = directory;
      InterruptAfter interrupt(polls);
      if (polls > 0) setup.ports.interrupt = &interrupt;
      Trainer trainer(std::move(setup));
      if (resume) trainer.resume();
      try {
        const TrainResult result = trainer.run();
        if (state)
          for (const auto& [name, tensor] : trainer.state()) state->emplace_back(name, tensor.detach().clone());
        return result;
      } catch (const Interrupted&) {
      }
    }
  }
};

std::function<double(std::int64_t)> jump_at(std::int64_t first, double to) {
  return [=](std::int64_t call) { return call >= first ? to : 1; };
}

TEST(Trainer, ALossOutOfItsRangePutsOffOneSnapshot) {
  const auto noisy = [](double to) {
    return [=](std::int64_t call) { return call == 79 ? to : call % 2 == 0 ? 1.0 : 2.0; };
  };
  // Only the last of three updates is out of its range.
  const auto third = [](std::int64_t call) { return call >= 225 && call % 3 == 2 ? 1e5 : 1.0; };
  const std::vector<std::pair<Story, int>> stories = {
      {{jump_at(1000, 1), 95}, 80},     // nothing happens
      {{jump_at(75, 1e5), 95}, 60},     // the snapshot of step 80 is put off
      {{jump_at(75, 1e5), 119}, 100},   // and that of step 100 is taken
      {{jump_at(75, 1e-5), 95}, 80},    // down is no harm
      {{noisy(2.9), 95}, 80},           // within the width of its range above it
      {{noisy(3.1), 95}, 60},           // and beyond
      {{jump_at(75, 1e5), 95, 0}, 80},  // not asked for
      {{third, 3 * 95, 1e9, 3}, 60},
  };
  for (std::size_t i = 0; i < stories.size(); ++i) {
    MemoryLogger logger;
    EXPECT_EQ(stories[i].first.tell(logger).rollbacks, 1) << i;
    ASSERT_EQ(logger.warnings.size(), 1u) << i;
    EXPECT_NE(logger.warnings[0].find(fmt::format("back to step {},", stories[i].second)), std::string::npos)
        << i << ": " << logger.warnings[0];
  }
}

// A climb is found out by its norm some updates after its loss has left the range, and a snapshot is due between.
TEST(Trainer, ASnapshotThatIsPutOffSurvivesResume) {
  const Story climb{[](std::int64_t call) { return call >= 75 && call <= 81 ? std::pow(3.0, call - 74) : 1.0; }, -1,
                    1000};
  NamedTensors whole, resumed;
  for (const std::int64_t polls : {0, 81}) {
    const ScratchDirectory scratch;
    MemoryLogger logger;
    EXPECT_EQ(climb.tell(logger, scratch.path(), polls, polls > 0 ? &resumed : &whole).rollbacks, 1);
    ASSERT_EQ(logger.warnings.size(), 1u);
    EXPECT_NE(logger.warnings[0].find("back to step 60"), std::string::npos) << logger.warnings[0];
  }
  expect_same_bits(whole, resumed);
}

TEST(Trainer, GivesUpAfterTooManyRollbacksWithGoodWeights) {
  Diverging problem;
  problem.trouble = Trouble::kLoss;
  problem.when = [](std::int64_t call) { return call >= 50; };
  const ScratchDirectory scratch;
  MemoryLogger logger;
  TrainerSetup setup = problem.setup();
  setup.ports.logger = &logger;
  setup.options.max_rollbacks = 3;
  setup.options.checkpoint_every = 25;
  setup.directory = scratch.path();
  Trainer trainer(std::move(setup));
  try {
    trainer.run();
    FAIL();
  } catch (const WorkError& error) {
    EXPECT_NE(std::string(error.what()).find("gave up after 3 rollbacks"), std::string::npos) << error.what();
  }
  EXPECT_EQ(logger.warnings.size(), 3u);
  EXPECT_EQ(trainer.step(), 40);
  EXPECT_TRUE(torch::isfinite(problem.module->value).all().item<bool>());
  EXPECT_EQ(CheckpointStore(scratch.path()).load_newest(logger).step, 50);
}

TEST(Trainer, RollbackStateSurvivesResume) {
  const auto run = [](Trouble trouble, bool interrupted, const std::string& directory) {
    std::int64_t calls = 0;
    for (bool resume = false;; resume = true) {
      Diverging problem;
      problem.trouble = trouble;
      problem.when = [](std::int64_t call) { return call == 73; };
      problem.calls = calls;
      TrainerSetup setup = problem.setup();
      setup.directory = directory;
      InterruptAfter interrupt(70);
      if (interrupted) setup.ports.interrupt = &interrupt;
      Trainer trainer(std::move(setup));
      if (resume) trainer.resume();
      try {
        EXPECT_EQ(trainer.run().rollbacks, 1);
        NamedTensors state;
        for (const auto& [name, tensor] : trainer.state()) state.emplace_back(name, tensor.detach().clone());
        return state;
      } catch (const Interrupted&) {
        calls = problem.calls;
      }
    }
  };
  // The second needs the running median to survive too.
  for (const Trouble trouble : {Trouble::kLoss, Trouble::kNorm}) {
    const ScratchDirectory one, two;
    expect_same_bits(run(trouble, false, one.path()), run(trouble, true, two.path()));
  }
}

TEST(Trainer, NormGrowthBelowTheLimitIsNotDivergence) {
  Diverging problem;
  problem.trouble = Trouble::kNorm;
  problem.when = [](std::int64_t call) { return call == 73; };
  TrainerSetup setup = problem.setup();
  setup.options.gradient_blowup = 0;
  setup.options.clipping.clip_norm = 1;
  EXPECT_EQ(Trainer(std::move(setup)).run().rollbacks, 0);
}

TEST(Trainer, AClippedSpikeIsDivergenceOnlyIfItLasts) {
  for (const std::int64_t length : {1, 7, 8}) {
    Diverging problem;
    problem.trouble = Trouble::kNorm;
    problem.when = [=](std::int64_t call) { return call >= 73 && call < 73 + length; };
    TrainerSetup setup = problem.setup();
    setup.options.clipping.clip_norm = 1;
    EXPECT_EQ(Trainer(std::move(setup)).run().rollbacks, length < 8 ? 0 : 1) << length;
  }
}

// ---- reporting

TEST(Trainer, ReportsMetricsAndProgress) {
  Problem problem;
  MemoryMetrics metrics;
  MemoryLogger logger;
  TrainerSetup setup = problem.two_phases(40);
  setup.ports.metrics = &metrics;
  setup.ports.logger = &logger;
  Trainer trainer(std::move(setup));
  const TrainResult result = trainer.run();
  ASSERT_EQ(metrics.lines.size(), 8u);
  EXPECT_EQ(metrics.lines[0].step, 10);
  EXPECT_EQ(metrics.lines[0].phase, "oppose");
  EXPECT_EQ(metrics.lines[7].phase, "fit");
  const std::map<std::string, double>& fit = metrics.lines[7].numbers;
  EXPECT_GT(fit.at("gradient_norm"), 0);
  EXPECT_GT(fit.at("steps_per_second"), 0);
  EXPECT_NEAR(fit.at("learning_rate"), 0.02 * 0.5 * (1 + std::cos(M_PI * 39 / 200)), 1e-12);
  const std::map<std::string, double> last(result.last.begin(), result.last.end());
  EXPECT_EQ(last.at("fit/loss"), fit.at("loss"));
  ASSERT_FALSE(logger.progress_lines.empty());
  EXPECT_LE(logger.progress_lines.size(), 2 + static_cast<std::size_t>(result.seconds * 4));
  for (const char* part : {"step 40/40", "steps/s", "loss"})
    EXPECT_NE(logger.progress_lines.back().find(part), std::string::npos) << logger.progress_lines.back();
}

TEST(Trainer, DryRunReportsAndRestores) {
  Problem problem, reference;
  const ScratchDirectory scratch;
  MemoryMetrics metrics;
  TrainerSetup setup = problem.two_phases(50);
  setup.directory = scratch.path();
  setup.ports.metrics = &metrics;
  Trainer trainer(std::move(setup)), untouched(reference.two_phases(50));
  const DryRun report = trainer.dry_run();
  EXPECT_GT(report.seconds_per_step, 0);
  EXPECT_NEAR(report.seconds_left, 50 * report.seconds_per_step, 1e-9);
  EXPECT_EQ(report.parameter_bytes, 16);
  EXPECT_GT(report.state_bytes, 0);
  // The batch and its noise, 16 x 2 floats each, at least.
  EXPECT_GT(report.peak_bytes, 2 * 16 * 2 * 4);
  EXPECT_LT(report.peak_bytes, 1e5);
  EXPECT_TRUE(metrics.lines.empty());
  EXPECT_TRUE(scratch.names().empty());
  EXPECT_EQ(trainer.step(), 0);
  trainer.run();
  untouched.run();
  expect_same_bits(trainer.state(), untouched.state());
}

TEST(Trainer, RefusesWhatCannotBeTrained) {
  Problem problem;
  const auto refused = [&](auto change) {
    TrainerSetup setup = problem.two_phases(10);
    change(setup);
    EXPECT_THROW(Trainer{std::move(setup)}, RequestError);
  };
  refused([](TrainerSetup& s) { s.phases[0].trains = {"modle"}; });
  refused([](TrainerSetup& s) { s.phases[1].name = s.phases[0].name; });
  refused([](TrainerSetup& s) { s.parts[1].name = s.parts[0].name; });
  refused([](TrainerSetup& s) { s.phases.clear(); });
  refused([](TrainerSetup& s) { s.phases[0].optimizer.name = "adagrad"; });
  refused([](TrainerSetup& s) { s.batches = nullptr; });
  TrainerSetup setup = problem.setup(3);
  setup.phases[0].trains = {"critic"};
  Formula other([&](const Batch&, Rng&, Tensor&) { return plain_loss(problem.module->value.sum()); });
  setup.phases[0].objective = &other;
  Trainer trainer(std::move(setup));
  EXPECT_THROW(trainer.run(), WorkError);
}

TEST(Trainer, CheckpointOfOtherPartsIsRefused) {
  const ScratchDirectory scratch;
  Problem problem;
  TrainerSetup setup = problem.setup(5);
  setup.directory = scratch.path();
  Trainer(std::move(setup)).run();
  Problem other;
  other.module->value = Tensor();
  other.module = std::make_shared<OneParameter>(torch::zeros({3}));
  TrainerSetup wrong = other.setup(5);
  wrong.directory = scratch.path();
  Trainer trainer(std::move(wrong));
  EXPECT_THROW(trainer.resume(), WorkError);
}

TEST(TrainOptions, EveryOptionIsDescribed) {
  const auto check = [](const std::vector<OptionDescription>& descriptions) {
    std::set<std::string> names;
    for (const OptionDescription& option : descriptions) {
      EXPECT_TRUE(names.insert(option.name).second) << option.name;
      EXPECT_GT(option.help.size(), 10u) << option.name;
    }
  };
  check(describe_options<TrainOptions>());
  check(describe_options<OptimizerOptions>());
  check(describe_options<ScheduleOptions>());
  EXPECT_THROW(read_options<TrainOptions>(Config::table({{"steps", 0}}), "train"), RequestError);
}

// A batch that several updates share is read once; phases that read elsewhere or take another size have their own.
TEST(Trainer, ReadsABatchOnceForAllThatShareIt) {
  Problem problem;
  TrainerSetup setup = problem.setup(4);
  int reads = 0, elsewhere = 0;
  setup.batches = [&](std::uint64_t step, std::int64_t size) {
    ++reads;
    return noise_batch(step, size);
  };
  std::vector<Tensor> seen;
  Formula record([&](const Batch& batch, Rng&, Tensor&) {
    seen.push_back(batch.x);
    return plain_loss((problem.module->value * batch.x).mean());
  });
  setup.phases[0].objective = &record;
  setup.phases[0].steps = 3;
  setup.phases[0].same_batch = true;
  TrainPhase same = setup.phases[0], small = same, own = same;
  same.name = "same";
  same.steps = 1;
  small.name = "small";
  small.batch_size = 5;
  own.name = "own";
  own.batches = [&](std::uint64_t step, std::int64_t size) {
    ++elsewhere;
    return noise_batch(step + 100, size);
  };
  setup.phases.insert(setup.phases.end(), {same, small, own});
  Trainer(std::move(setup)).run();
  EXPECT_EQ(reads, 4 * 2);
  EXPECT_EQ(elsewhere, 4);
  ASSERT_EQ(seen.size(), 4u * 10);
  for (std::uint64_t step = 0; step < 4; ++step)
    for (std::size_t k = 0; k < 10; ++k) {
      const Tensor truth = k < 4   ? noise_batch(step, 16).x
                           : k < 7 ? noise_batch(step, 5).x
                                   : noise_batch(step + 100, 16).x;
      EXPECT_TRUE(torch::equal(seen[step * 10 + k], truth)) << step << " " << k;
    }
}

// An objective sees Adam of the phase that trains another part, and can say what its next update will be: the optimiser in
// place and the one that is a function agree.
TEST(Trainer, TellsObjectivesOfTheAdamOfOtherPhases) {
  Problem problem;
  Tensor predicted;
  std::int64_t seen = 0;
  const auto slope = [](std::uint64_t step) { return Rng(8, "slope").at_step(step).normal({2}); };
  Formula critic(
      [&](const Batch&, Rng& rng, Tensor&) { return plain_loss((problem.critic->value * slope(rng.step())).sum()); });
  Formula model([&](const Batch& batch, Rng& rng, Tensor&) {
    AdamState adam = batch.adam(*problem.critic);
    EXPECT_EQ(adam.steps, static_cast<std::int64_t>(rng.step()) + 1);
    const Tensor now = problem.critic->value.detach();
    if (predicted.defined()) EXPECT_TRUE(torch::allclose(now, predicted, 1e-6, 1e-7));
    predicted = adam_step(adam, {now}, {slope(rng.step() + 1)})[0];
    EXPECT_GT((predicted - now).abs().min().item<double>(), 0);
    ++seen;
    EXPECT_THROW(batch.adam(*problem.module), RequestError);
    return plain_loss(problem.module->value.sum());
  });
  TrainerSetup setup = problem.setup(20);
  setup.phases[0].objective = &model;
  TrainPhase phase;
  phase.name = "oppose";
  phase.objective = &critic;
  phase.trains = {"critic"};
  phase.optimizer.learning_rate = 0.01;
  phase.optimizer.beta2 = 0.95;
  phase.schedule.name = "cosine";
  phase.schedule.final_fraction = 0.1;
  setup.phases.insert(setup.phases.begin(), phase);
  Trainer(std::move(setup)).run();
  EXPECT_EQ(seen, 20);
}

TEST(Trainer, TellsObjectivesHowFarTheRunIs) {
  Problem problem;
  std::vector<double> progress;
  Formula watching([&](const Batch& batch, Rng&, Tensor&) {
    progress.push_back(batch.progress);
    return plain_loss((problem.module->value * batch.x).square().mean());
  });
  TrainerSetup setup = problem.setup(4);
  setup.phases[0].objective = &watching;
  setup.phases[0].steps = 2;
  Trainer(std::move(setup)).run();
  ASSERT_EQ(progress.size(), 8u);
  for (std::size_t i = 0; i < 8; ++i) EXPECT_DOUBLE_EQ(progress[i], static_cast<double>(i) / 8);
}

}  // namespace
}  // namespace gibbsite
