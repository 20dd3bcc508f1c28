// Training by several ranks, which here are threads of one process: tests/acceptance/ranks_test.sh has processes.
#include <gibbsite/core/error.h>
#include <gibbsite/core/ranks.h>
#include <gibbsite/train/gradient_buckets.h>
#include <gibbsite/train/process_group.h>
#include <gibbsite/train/trainer.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "train/scratch.h"

namespace gibbsite {
namespace {

// Where threads exchange tensors: each comes with one, and all go with what `combine` makes of them.
class Meeting {
 public:
  explicit Meeting(std::size_t size) : given_(size) {}
  template <class Combine>
  Tensor exchange(std::int64_t rank, const Tensor& x, const Combine& combine) {
    std::unique_lock<std::mutex> lock(mutex_);
    given_[static_cast<std::size_t>(rank)] = x;
    const std::int64_t mine = round_;
    if (++come_ == given_.size()) {
      result_ = combine(given_);
      come_ = 0;
      ++round_;
      all_.notify_all();
    } else {
      all_.wait(lock, [&] { return round_ > mine; });
    }
    return result_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable all_;
  std::vector<Tensor> given_;
  Tensor result_;
  std::size_t come_ = 0;
  std::int64_t round_ = 0;
};

class ThreadRanks : public Ranks {
 public:
  ThreadRanks(Meeting& meeting, std::int64_t rank, std::int64_t size) : meeting_(meeting), rank_(rank), size_(size) {}
  std::int64_t rank() const override { return rank_; }
  std::int64_t size() const override { return size_; }
  std::unique_ptr<Pending> begin_sum(const Tensor& x) override {
    if (sums_left_-- == 0) throw RankLost("ranks", "rank 9 gives no sign of life");
    x.copy_(
        meeting_.exchange(rank_, x.clone(), [](const std::vector<Tensor>& all) { return torch::stack(all).sum(0); }));
    return std::make_unique<Pending>();
  }
  void broadcast(const Tensor& x) override {
    x.copy_(meeting_.exchange(rank_, x.clone(), [](const std::vector<Tensor>& all) { return all[0]; }));
  }
  Tensor gather(const Tensor& rows) override {
    return meeting_.exchange(rank_, rows, [](const std::vector<Tensor>& all) { return torch::cat(all); });
  }
  void lose_after(std::int64_t sums) { sums_left_ = sums; }

 private:
  Meeting& meeting_;
  std::int64_t rank_, size_, sums_left_ = -1;
};

struct Network : torch::nn::Module {
  Tensor weight, bias, unused;
  Network()
      : weight(register_parameter("weight", torch::tensor({0.3f, -0.7f}))),
        bias(register_parameter("bias", torch::tensor({0.1}, torch::kDouble))),
        unused(register_parameter("unused", torch::ones({2}))) {}
};

class Regression : public Objective {
 public:
  Regression(const Network& network, bool mixes) : network_(network), mixes_(mixes) {}
  Loss operator()(const Batch& batch, Rng& rng) const override {
    const Tensor noise = rng.normal(batch.x.sizes(), batch.x);
    const Tensor loss =
        (network_.weight * batch.x + network_.bias + 0.3 * noise - batch.x * 2).pow(2).mean().to(torch::kFloat);
    return {loss, {{"loss", loss.detach()}}};
  }
  bool mixes_rows() const override { return mixes_; }

 private:
  const Network& network_;
  bool mixes_;
};

class Stop : public Interrupt {
 public:
  explicit Stop(std::int64_t after) : left_(after) {}
  bool requested() override { return left_-- <= 0; }

 private:
  std::int64_t left_;
};

struct Training {
  Network network;
  Regression objective;
  std::unique_ptr<Trainer> trainer;

  Training(Ranks& ranks, std::int64_t steps, const std::string& directory = "", bool mixes = false,
           std::int64_t batch_size = 12, Interrupt* interrupt = nullptr)
      : objective(network, mixes) {
    TrainerSetup setup;
    setup.parts = {{"model", &network}};
    TrainPhase phase;
    phase.name = "fit";
    phase.objective = &objective;
    phase.optimizer.learning_rate = 0.02;
    setup.phases = {phase};
    setup.options.steps = steps;
    setup.options.batch_size = batch_size;
    setup.options.snapshot_every = 10;
    setup.options.checkpoint_every = 20;
    setup.seed = 11;
    setup.batches = [](std::uint64_t step, std::int64_t size) {
      Batch batch;
      batch.x = Rng(5, "data").at_step(step).normal({size, 2});
      return batch;
    };
    setup.directory = directory;
    setup.ports.ranks = &ranks;
    if (interrupt) setup.ports.interrupt = interrupt;
    trainer = std::make_unique<Trainer>(std::move(setup));
  }
};

void together(std::int64_t size, const std::function<void(ThreadRanks&)>& work) {
  Meeting meeting(static_cast<std::size_t>(size));
  std::vector<std::thread> threads;
  for (std::int64_t rank = 0; rank < size; ++rank)
    threads.emplace_back([&meeting, &work, rank, size] {
      ThreadRanks ranks(meeting, rank, size);
      work(ranks);
    });
  for (std::thread& thread : threads) thread.join();
}

TEST(TrainingByRanks, MakesTheUpdatesOfOneProcess) {
  Ranks alone;
  Training whole(alone, 50);
  const TrainResult expected = whole.trainer->run();
  for (const std::int64_t size : {2, 3, 4}) {
    std::vector<NamedTensors> ends(static_cast<std::size_t>(size));
    together(size, [&](ThreadRanks& ranks) {
      Training run(ranks, 50);
      EXPECT_EQ(run.trainer->run().step, expected.step);
      ends[static_cast<std::size_t>(ranks.rank())] = run.trainer->state();
    });
    const Network& network = whole.network;
    const Tensor truth[] = {network.weight, network.bias, network.unused};
    for (std::size_t rank = 0; rank < ends.size(); ++rank) {
      const NamedTensors own = Checkpoint{0, {}, ends[rank]}.under("parameter/model/");
      ASSERT_EQ(own.size(), 3u);
      for (std::size_t i = 0; i < own.size(); ++i) {
        EXPECT_TRUE(torch::equal(own[i].second, Checkpoint({0, {}, ends[0]}).under("parameter/model/")[i].second));
        EXPECT_LT((own[i].second - truth[i]).abs().max().item<double>(), 1e-6) << own[i].first << " of " << size;
      }
    }
  }
}

TEST(TrainingByRanks, StopsTogetherWhenOneIsAskedTo) {
  std::vector<std::int64_t> steps(3);
  together(3, [&](ThreadRanks& ranks) {
    Stop after(ranks.rank() == 2 ? 7 : 1000);
    Training run(ranks, 50, "", false, 12, &after);
    EXPECT_THROW(run.trainer->run(), Interrupted);
    steps[static_cast<std::size_t>(ranks.rank())] = run.trainer->step();
  });
  EXPECT_EQ(steps, std::vector<std::int64_t>({8, 8, 8}));
}

TEST(TrainingByRanks, RefusesWhatCannotBeShared) {
  Meeting meeting(2);
  ThreadRanks ranks(meeting, 0, 2);
  EXPECT_THROW(Training(ranks, 5, "", true), RequestError);
  EXPECT_THROW(Training(ranks, 5, "", false, 13), RequestError);
  Ranks alone;
  EXPECT_NO_THROW(Training(alone, 5, "", true, 13));
}

// One of two ranks loses the other in step 34; what it saves goes on to where one process ends.
TEST(TrainingByRanks, SavesWhatALossLeftAndGoesOnAlone) {
  const ScratchDirectory scratch;
  Ranks alone;
  Training whole(alone, 50);
  whole.trainer->run();
  std::vector<std::int64_t> saved(2);
  together(2, [&](ThreadRanks& ranks) {
    const CheckpointStore store(scratch.path());
    Training run(ranks, 50, scratch.path());
    ranks.lose_after(33 * 4);  // three buckets and the numbers
    try {
      run.trainer->run();
      ADD_FAILURE();
    } catch (const RankLost& lost) {
      EXPECT_STREQ(lost.what(), "ranks: rank 9 gives no sign of life");
    }
    if (ranks.first()) saved[0] = run.trainer->save_after_loss(store);
  });
  EXPECT_EQ(saved[0], 33);
  Training rest(alone, 50, scratch.path());
  EXPECT_EQ(rest.trainer->resume(), 33);
  rest.trainer->run();
  EXPECT_LT((rest.network.weight - whole.network.weight).abs().max().item<double>(), 1e-6);
}

struct Wide : torch::nn::Module {
  std::vector<Tensor> layers;
  Wide() {
    Rng rng(2, "wide");
    for (int i = 0; i < 6; ++i)
      layers.push_back(register_parameter("w" + std::to_string(i), rng.normal({300, 300}) / 17));
  }
  Tensor forward(Tensor x) const {
    for (std::size_t i = 0; i < layers.size(); ++i)
      if (i != 1) x = torch::tanh(torch::matmul(x, layers[i]));
    return x.square().mean();
  }
};

// Sums that begin while the first layer has no gradient yet, in the order of the buckets.
TEST(GradientBuckets, SumsBesideTheBackwardPassAndHasItsGradients) {
  const Wide wide;
  struct Early : Ranks {
    const Wide* wide = nullptr;
    int begun = 0, early = 0;
    std::unique_ptr<Pending> begin_sum(const Tensor& x) override {
      ++begun;
      if (wide->layers[5].grad().defined() && !wide->layers[0].grad().defined()) ++early;
      return Ranks::begin_sum(x);
    }
  } ranks;
  ranks.wide = &wide;
  GradientBuckets buckets(ranks, wide.parameters());
  const Tensor x = Rng(3, "x").normal({7, 300});
  for (int pass = 1; pass <= 2; ++pass) {
    ranks.begun = ranks.early = 0;
    const std::vector<Tensor> expected =
        torch::autograd::grad({wide.forward(x)}, wide.parameters(), {}, false, false, true);
    EXPECT_EQ(ranks.begun, 0) << "another derivative set off an exchange";
    Tensor numbers = torch::tensor({3.0, -1.0}, torch::kDouble);
    const std::vector<Tensor> gradients = buckets.backward(wide.forward(x), numbers);
    EXPECT_EQ(ranks.begun, 4) << "three buckets and the numbers";
    // The unused layer holds up the last bucket.
    EXPECT_EQ(ranks.early, 2);
    EXPECT_TRUE(torch::equal(numbers, torch::tensor({3.0, -1.0}, torch::kDouble)));
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      ASSERT_EQ(gradients[i].defined(), i != 1);
      if (i != 1) {
        EXPECT_TRUE(torch::equal(gradients[i], expected[i])) << i;
      }
    }
  }
  for (const Tensor& layer : wide.layers) EXPECT_FALSE(layer.grad().defined());
}

TEST(Launch, IsReadFromTheVariablesOfTorchrun) {
  const auto set = [](const std::vector<std::pair<const char*, const char*>>& values) {
    for (const char* name : {"WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK", "LOCAL_WORLD_SIZE",
                             "TORCHELASTIC_USE_AGENT_STORE", "TORCHELASTIC_RESTART_COUNT", "GLOO_SOCKET_IFNAME"})
      unsetenv(name);
    for (const auto& [name, value] : values) setenv(name, value, 1);
  };
  set({});
  EXPECT_FALSE(launch_from_environment());
  set({{"WORLD_SIZE", "1"}});
  EXPECT_FALSE(launch_from_environment());
  set({{"WORLD_SIZE", "4"}, {"RANK", "3"}, {"MASTER_ADDR", "node1"}, {"MASTER_PORT", "29500"}});
  Launch launch = *launch_from_environment();
  EXPECT_EQ(launch.rank, 3);
  EXPECT_EQ(launch.size, 4);
  EXPECT_EQ(launch.address, "node1");
  EXPECT_EQ(launch.port, 29500);
  EXPECT_FALSE(launch.launcher_has_store);
  set({{"WORLD_SIZE", "4"},
       {"RANK", "3"},
       {"MASTER_ADDR", "node1"},
       {"MASTER_PORT", "29500"},
       {"LOCAL_RANK", "1"},
       {"LOCAL_WORLD_SIZE", "2"},
       {"TORCHELASTIC_USE_AGENT_STORE", "True"},
       {"TORCHELASTIC_RESTART_COUNT", "2"}});
  launch = *launch_from_environment();
  EXPECT_TRUE(launch.launcher_has_store);
  EXPECT_EQ(launch.local_rank, 1);
  EXPECT_EQ(launch.local_size, 2);
  EXPECT_EQ(launch.attempt, 2);
  using Values = std::vector<std::pair<const char*, const char*>>;
  for (const Values& wrong : {Values{{"WORLD_SIZE", "four"}}, Values{{"WORLD_SIZE", "0"}}, Values{{"WORLD_SIZE", "4"}},
                              Values{{"WORLD_SIZE", "4"}, {"RANK", "4"}}, Values{{"WORLD_SIZE", "4"}, {"RANK", "0"}},
                              Values{{"WORLD_SIZE", "4"}, {"RANK", "0"}, {"MASTER_ADDR", "a"}},
                              Values{{"WORLD_SIZE", "4"}, {"RANK", "0"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "x"}}}) {
    set(wrong);
    EXPECT_THROW(launch_from_environment(), RequestError);
  }
  set({});
}

}  // namespace
}  // namespace gibbsite
