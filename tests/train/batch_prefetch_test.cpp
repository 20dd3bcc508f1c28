#include <ATen/Parallel.h>
#include <gibbsite/core/error.h>
#include <gibbsite/train/batch_prefetch.h>
#include <gibbsite/train/trainer.h>
#include <gtest/gtest.h>
#include <omp.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <chrono>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace gibbsite {
namespace {

// Batches that name their key, made slowly; remembers who made them.
struct SlowSource {
  std::mutex mutex;
  std::vector<std::uint64_t> made;
  std::set<std::thread::id> makers;
  std::uint64_t broken = 1000;

  Batch make(std::uint64_t index, std::int64_t size) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    const std::lock_guard<std::mutex> lock(mutex);
    if (index == broken) throw WorkError("batch", "cannot be read");
    made.push_back(index);
    makers.insert(std::this_thread::get_id());
    Batch batch;
    batch.x = torch::full({size, 1}, static_cast<double>(index));
    return batch;
  }
  BatchPrefetch prefetch() {
    return BatchPrefetch([this](const BatchKey& key) { return make(key.index, key.size); }, 0);
  }
};

double content(const Batch& batch) { return batch.x[0].item<double>(); }

TEST(BatchPrefetch, GivesWhatIsAskedForWhateverWasBegun) {
  SlowSource source;
  BatchPrefetch prefetch = source.prefetch();
  EXPECT_EQ(content(prefetch.take({0, 7, 2})), 7);
  prefetch.begin({0, 8, 2});
  EXPECT_EQ(content(prefetch.take({0, 8, 2})), 8);
  prefetch.begin({0, 9, 2});
  const Batch other = prefetch.take({0, 4, 3});
  EXPECT_EQ(content(other), 4);
  EXPECT_EQ(other.x.size(0), 3);
  EXPECT_EQ(source.made, (std::vector<std::uint64_t>{7, 8, 9, 4}));
  EXPECT_GT(source.makers.size(), 1U);
}

TEST(BatchPrefetch, QuickBatchesAreMadeHere) {
  SlowSource source;
  BatchPrefetch prefetch([&](const BatchKey& key) { return source.make(key.index, key.size); }, 1e9);
  prefetch.take({0, 0, 2});
  prefetch.begin({0, 1, 2});
  EXPECT_EQ(source.made.size(), 1U);
  EXPECT_EQ(content(prefetch.take({0, 1, 2})), 1);
  EXPECT_EQ(source.makers, std::set<std::thread::id>{std::this_thread::get_id()});
}

TEST(BatchPrefetch, ErrorsComeWhereTheBatchIsTaken) {
  SlowSource source;
  source.broken = 1;
  BatchPrefetch prefetch = source.prefetch();
  prefetch.take({0, 0, 2});
  prefetch.begin({0, 1, 2});
  EXPECT_THROW(prefetch.take({0, 1, 2}), WorkError);
  source.broken = 1000;
  EXPECT_EQ(content(prefetch.take({0, 1, 2})), 1);
}

TEST(BatchPrefetch, TheOtherThreadTakesNoFurtherOnes) {
  std::vector<int> threads;
  BatchPrefetch prefetch(
      [&](const BatchKey&) {
        const Tensor much = torch::ones({1 << 20}).exp();  // LibTorch divides this among its threads
        threads.push_back(omp_get_max_threads());
        Batch batch;
        batch.x = much;
        return batch;
      },
      0);
  const int before = at::get_num_threads();
  at::set_num_threads(2);
  prefetch.take({0, 0, 1});
  prefetch.begin({0, 1, 1});
  prefetch.take({0, 1, 1});
  at::set_num_threads(before);
  EXPECT_EQ(threads, (std::vector<int>{2, 1}));
}

struct Slope : torch::nn::Module {
  Tensor value = register_parameter("value", torch::zeros({1}));
};

class Regression : public Objective {
 public:
  explicit Regression(const Slope& slope) : slope_(slope) {}
  Loss operator()(const Batch& batch, Rng& rng) const override {
    const Tensor loss = (slope_.value - batch.x - rng.normal({1}, batch.x)).square().mean();
    return {loss, {{"loss", loss.detach()}}};
  }

 private:
  const Slope& slope_;
};

// Two phases that share batches in groups of three and one with batches of its own.
std::vector<double> trained(SlowSource& shared, SlowSource& own, int threads) {
  const int before = at::get_num_threads();
  at::set_num_threads(threads);
  Slope first, second;
  Regression fit_first(first), fit_second(second);
  TrainerSetup setup;
  setup.parts = {{"first", &first}, {"second", &second}};
  TrainPhase phase;
  phase.name = "grouped";
  phase.objective = &fit_first;
  phase.trains = {"first"};
  phase.steps = 3;
  phase.same_batch = true;
  setup.phases = {phase};
  phase = TrainPhase();
  phase.name = "alone";
  phase.objective = &fit_second;
  phase.trains = {"second"};
  phase.steps = 2;
  phase.batches = [&own](std::uint64_t step, std::int64_t size) { return own.make(step, size); };
  setup.phases.push_back(phase);
  setup.batches = [&shared](std::uint64_t step, std::int64_t size) { return shared.make(step, size); };
  setup.options.steps = 5;
  setup.options.batch_size = 4;
  Trainer(setup).run();
  at::set_num_threads(before);
  return {first.value.item<double>(), second.value.item<double>()};
}

TEST(BatchPrefetch, TrainingTakesTheSameBatchesOnce) {
  SlowSource shared[2], own[2];
  const std::vector<double> one = trained(shared[0], own[0], 1), two = trained(shared[1], own[1], 2);
  EXPECT_EQ(one, two);
  for (const int i : {0, 1}) {
    EXPECT_EQ(shared[i].made, (std::vector<std::uint64_t>{0, 1, 2, 3, 4}));
    EXPECT_EQ(own[i].made, (std::vector<std::uint64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  }
  EXPECT_EQ(shared[0].makers.size(), 1U);
  EXPECT_GT(shared[1].makers.size(), 1U);
}

}  // namespace
}  // namespace gibbsite
