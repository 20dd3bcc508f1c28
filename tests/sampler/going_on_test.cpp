// Loops that are stopped and go on from their kept state have the bits of loops that ran through.
#include <gibbsite/core/error.h>
#include <gibbsite/sampler/annealing.h>
#include <gibbsite/sampler/chain.h>
#include <gibbsite/sampler/hmc.h>
#include <gibbsite/sampler/langevin.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <memory>

#include "core/stopping.h"

namespace gibbsite {
namespace {

class Counter : public SampleWriter {
 public:
  std::vector<std::int64_t> steps;
  void write(std::int64_t step, const Tensor&) override { steps.push_back(step); }
};

Target double_well() {
  Target target;
  target.energy = [](const Tensor& x) { return (x.square() - 1).square().sum(1); };
  return target;
}

// Runs `work` under ports that stop it again and again, until it is through.
template <class Work>
auto in_pieces(const Work& work, SampleWriter* samples) {
  MemoryStore store;
  for (int question = 1;; question = question * 2 % 11 + 1) {
    StopAt stop(question + 1);
    Ports ports;
    ports.interrupt = &stop;
    ports.states = &store;
    if (samples) ports.samples = samples;
    auto result = work(ports);
    if (!result.interrupted) return result;
  }
}

TEST(GoingOn, ChainsWithAdaptedSteps) {
  const Target target = double_well();
  const Tensor x = Rng(1, "x").normal({5, 2});
  ChainOptions options;
  options.burn_in = 20;
  options.steps = 25;
  options.thin = 3;
  options.adapt = true;
  const auto work = [&](const Ports& ports) {
    return run_chain(std::make_shared<Hmc>(HmcOptions{0.3, 4, 0.2}), target, x, Rng(2, "chain"), options, ports);
  };
  Counter whole, pieces;
  Ports ports;
  ports.samples = &whole;
  const ChainResult straight = work(ports);
  const ChainResult resumed = in_pieces(work, &pieces);
  EXPECT_TRUE(torch::equal(resumed.last.x, straight.last.x));
  EXPECT_TRUE(torch::equal(resumed.acceptance, straight.acceptance));
  EXPECT_TRUE(torch::equal(resumed.divergences, straight.divergences));
  EXPECT_EQ(resumed.kernel->step_size(), straight.kernel->step_size());
  EXPECT_EQ(pieces.steps, whole.steps);
}

TEST(GoingOn, AnnealedChains) {
  const Tensor x = Rng(1, "x").normal({5, 2});
  const AnnealingSchedule schedule = noise_schedule({0.01, 7}, {1.0, 0.5, 0.25});
  const auto target_at = [](std::int64_t level) {
    Target target;
    target.score = [scale = static_cast<double>(level + 1)](const Tensor& y) { return -y * scale; };
    return target;
  };
  const auto work = [&](const Ports& ports) { return anneal(schedule, target_at, x, Rng(3, "chain"), ports); };
  const AnnealingResult straight = work({});
  const AnnealingResult resumed = in_pieces(work, nullptr);
  EXPECT_TRUE(torch::equal(resumed.x, straight.x));
  EXPECT_EQ(resumed.steps_done, 21);
}

TEST(GoingOn, RefusesTheStateOfOtherChains) {
  MemoryStore store;
  Ports ports;
  ports.states = &store;
  ChainOptions options;
  options.steps = 3;
  const auto run = [&](std::int64_t chains, std::int64_t steps) {
    options.steps = steps;
    run_chain(std::make_shared<Langevin>(LangevinOptions{}), double_well(), torch::zeros({chains, 2}), Rng(1, "c"),
              options, ports);
  };
  run(4, 3);
  EXPECT_THROW(run(5, 3), WorkError);
  EXPECT_THROW(run(4, 2), WorkError);
  EXPECT_NO_THROW(run(4, 5));
}

// A step size that is far too long makes every trajectory leave.
TEST(GoingOn, DivergencesAreCounted) {
  ChainOptions options;
  options.steps = 10;
  const Tensor x = Rng(1, "x").normal({3, 2}, torch::kDouble);
  const ChainResult wild = run_chain(std::make_shared<Hmc>(HmcOptions{5, 20}), double_well(), x, Rng(1, "c"), options);
  EXPECT_TRUE(wild.divergences.eq(10).all().item<bool>());
  const ChainResult tame =
      run_chain(std::make_shared<Hmc>(HmcOptions{0.05, 5}), double_well(), x, Rng(1, "c"), options);
  EXPECT_TRUE(tame.divergences.eq(0).all().item<bool>());
}

}  // namespace
}  // namespace gibbsite
