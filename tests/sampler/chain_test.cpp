#include <ATen/Parallel.h>
#include <gibbsite/core/error.h>
#include <gibbsite/sampler/chain.h>
#include <gibbsite/sampler/dual_averaging.h>
#include <gibbsite/sampler/hmc.h>
#include <gibbsite/sampler/langevin.h>
#include <gibbsite/sampler/mala.h>
#include <sampler/gaussians.h>

namespace gibbsite {
namespace {

using testing::kFloat64;
using testing::quartic;

class CountingInterrupt : public Interrupt {
 public:
  explicit CountingInterrupt(std::int64_t stop_at = -1) : stop_at_(stop_at) {}
  bool requested() override { return calls++ == stop_at_; }
  std::int64_t calls = 0;

 private:
  std::int64_t stop_at_;
};

class Recorder : public SampleWriter {
 public:
  void write(std::int64_t step, const Tensor& x) override {
    steps.push_back(step);
    states.push_back(x.clone());
  }
  std::vector<std::int64_t> steps;
  std::vector<Tensor> states;
};

class LastProgress : public Logger {
 public:
  void progress(const std::string& line, double fraction) override {
    text = line;
    done = fraction;
    ++lines;
  }
  std::string text;
  double done = 0;
  int lines = 0;
};

ChainOptions steps(std::int64_t n) {
  ChainOptions options;
  options.steps = n;
  return options;
}

TEST(Chain, IsTheSameForAnySplitOfTheChains) {
  for (const auto dtype : {torch::kFloat, torch::kDouble})
    for (const auto& entry : kernel_table()) {
      const std::shared_ptr<const Kernel> kernel = entry.make(entry.smallest)->with_step_size(0.3);
      if (kernel->interacts()) continue;
      const Tensor start = Rng(1, "start").normal({10, 3}, dtype);
      const Rng rng(2, "chain");
      const Tensor all = run_chain(kernel, quartic(), start, rng, steps(30)).last.x;
      for (const std::int64_t cut : {1, 5, 9}) {
        const Tensor head = run_chain(kernel, quartic(), start.slice(0, 0, cut), rng, steps(30)).last.x;
        const Tensor tail = run_chain(kernel, quartic(), start.slice(0, cut), rng.at_row(cut), steps(30)).last.x;
        EXPECT_TRUE(torch::equal(all, torch::cat({head, tail}))) << entry.name << " " << cut;
      }
      EXPECT_FALSE(
          torch::equal(all.slice(0, 5), run_chain(kernel, quartic(), start.slice(0, 5), rng, steps(30)).last.x));
    }
}

TEST(Chain, IsTheSameForAnyNumberOfThreads) {
  const Tensor start = Rng(1, "start").normal({20000, 3});  // large enough to be shared out
  const int before = at::get_num_threads();
  for (const auto& entry : kernel_table()) {
    const std::shared_ptr<const Kernel> kernel = entry.make(entry.smallest)->with_step_size(0.05);
    if (kernel->interacts()) continue;  // pairs of 20000 particles
    at::set_num_threads(1);
    const Tensor one = run_chain(kernel, quartic(), start, Rng(2, "chain"), steps(5)).last.x;
    at::set_num_threads(2);
    EXPECT_TRUE(torch::equal(one, run_chain(kernel, quartic(), start, Rng(2, "chain"), steps(5)).last.x)) << entry.name;
  }
  at::set_num_threads(before);
}

TEST(Chain, AsksTheInterruptEachStepAndWritesEveryThinnedState) {
  CountingInterrupt interrupt;
  Recorder recorder;
  LastProgress log;
  Ports ports;
  ports.interrupt = &interrupt;
  ports.samples = &recorder;
  ports.logger = &log;
  ChainOptions options = steps(23);
  options.burn_in = 7;
  options.thin = 5;
  const Tensor start = torch::zeros({2, 2}, kFloat64);
  const auto kernel = std::make_shared<Mala>(MalaOptions{});
  const ChainResult result = run_chain(kernel, quartic(), start, Rng(3, "chain"), options, ports);
  EXPECT_EQ(interrupt.calls, 30);
  EXPECT_EQ(recorder.steps, (std::vector<std::int64_t>{5, 10, 15, 20}));
  EXPECT_EQ(result.steps_done, 30);
  EXPECT_FALSE(result.interrupted);
  EXPECT_EQ(log.text, "sampling 30/30");
  EXPECT_EQ(log.done, 1);
  EXPECT_LE(log.lines, 100);
  EXPECT_EQ(result.kernel.get(), kernel.get());
  // The state written after the burn-in's 7 and 15 more steps is the one a chain of 22 steps ends in.
  EXPECT_TRUE(torch::equal(recorder.states[2], run_chain(kernel, quartic(), start, Rng(3, "chain"), steps(22)).last.x));
}

TEST(Chain, StopsWhereTheInterruptAsks) {
  CountingInterrupt interrupt(4);
  Ports ports;
  ports.interrupt = &interrupt;
  const auto kernel = std::make_shared<Mala>(MalaOptions{});
  const Tensor start = torch::zeros({2, 2}, kFloat64);
  const ChainResult result = run_chain(kernel, quartic(), start, Rng(3, "chain"), steps(10), ports);
  EXPECT_TRUE(result.interrupted);
  EXPECT_EQ(result.steps_done, 4);
  EXPECT_TRUE(torch::equal(result.last.x, run_chain(kernel, quartic(), start, Rng(3, "chain"), steps(4)).last.x));
  EXPECT_TRUE(
      torch::equal(result.acceptance, run_chain(kernel, quartic(), start, Rng(3, "chain"), steps(4)).acceptance));
}

TEST(Chain, CountsAcceptancePerChainAfterTheBurnIn) {
  MalaOptions mala;
  mala.step_size = 1.5;
  ChainOptions options = steps(40);
  options.burn_in = 10;
  const Tensor start = torch::zeros({6, 3}, kFloat64);
  const auto kernel = std::make_shared<Mala>(mala);
  const ChainResult result = run_chain(kernel, quartic(), start, Rng(4, "chain"), options);
  Tensor x = start, moved = torch::zeros({6}, kFloat64);
  for (int t = 0; t < 50; ++t) {
    Rng rng = Rng(4, "chain").at_step(static_cast<std::uint64_t>(t));
    const Tensor next = kernel->step(quartic(), x, rng).x;
    if (t >= 10) moved += (next != x).any(1).to(torch::kDouble);
    x = next;
  }
  EXPECT_TRUE(torch::equal(result.last.x, x));
  EXPECT_TRUE(torch::allclose(result.acceptance, moved / 40));
  EXPECT_LT(result.acceptance.max().item<double>(), 1);
}

TEST(Chain, AdaptsToTheTargetAcceptanceAndFreezes) {
  const Tensor a = testing::precision_matrix(4), mean = torch::zeros({4}, kFloat64);
  MalaOptions mala;
  HmcOptions hmc;
  hmc.leapfrog_steps = 2;  // short enough that acceptance falls steadily with the step size
  for (const double first : {1e-4, 20.0}) {
    mala.step_size = hmc.step_size = first;
    for (const std::shared_ptr<const Kernel>& kernel : {std::shared_ptr<const Kernel>(std::make_shared<Mala>(mala)),
                                                        std::shared_ptr<const Kernel>(std::make_shared<Hmc>(hmc))}) {
      ChainOptions options = steps(100);
      options.burn_in = 300;
      options.adapt = true;
      const Tensor start = Rng(5, "start").normal({100, 4}, torch::kDouble);
      const ChainResult result = run_chain(kernel, testing::gaussian(a, mean), start, Rng(6, "chain"), options);
      EXPECT_NEAR(result.acceptance.mean().item<double>(), kernel->target_acceptance(), 0.05) << first;
      EXPECT_NE(result.kernel->step_size(), first);
      // Averaging the logarithms of noisy step sizes leaves acceptance a little above the aim.
      options.target_acceptance = 0.7;
      EXPECT_NEAR(run_chain(kernel, testing::gaussian(a, mean), start, Rng(6, "chain"), options)
                      .acceptance.mean()
                      .item<double>(),
                  0.73, 0.06);
    }
  }
}

TEST(Chain, DualAveragingFollowsItsRecurrence) {
  // Two updates by hand: μ = log 1 = 0, t₀ = 10, γ = 0.05, κ = 0.75, aim 0.8.
  DualAveraging averaging(0.1, 0.8);
  EXPECT_DOUBLE_EQ(averaging.step_size(), 0.1);
  EXPECT_DOUBLE_EQ(averaging.frozen(), 0.1);
  averaging.update(0.25);
  const double h1 = 0.55 / 11, log1 = -1 / 0.05 * h1;
  EXPECT_NEAR(std::log(averaging.step_size()), log1, 1e-12);
  EXPECT_NEAR(std::log(averaging.frozen()), log1, 1e-12);
  averaging.update(1.0);
  const double h2 = (1 - 1.0 / 12) * h1 + -0.2 / 12, log2 = -std::sqrt(2.0) / 0.05 * h2, weight = std::pow(2, -0.75);
  EXPECT_NEAR(std::log(averaging.step_size()), log2, 1e-12);
  EXPECT_NEAR(std::log(averaging.frozen()), weight * log2 + (1 - weight) * log1, 1e-12);
  DualAveraging lost(0.1, 0.8);
  lost.update(std::numeric_limits<double>::quiet_NaN());
  EXPECT_NEAR(std::log(lost.step_size()), -20 * 0.8 / 11, 1e-12);
}

TEST(Chain, RefusesWrongRequestsAndReportsBrokenStates) {
  const Tensor start = torch::zeros({3, 2}, kFloat64);
  const auto mala = std::make_shared<Mala>(MalaOptions{});
  const auto langevin = std::make_shared<Langevin>(LangevinOptions{});
  ChainOptions options = steps(3);
  options.adapt = true;
  EXPECT_THROW(run_chain(mala, quartic(), start, Rng(7, "chain"), options), RequestError);
  options.burn_in = 3;
  EXPECT_THROW(run_chain(langevin, quartic(), start, Rng(7, "chain"), options), RequestError);
  options.thin = 0;
  EXPECT_THROW(run_chain(mala, quartic(), start, Rng(7, "chain"), options), RequestError);
  Tensor broken = start.clone();
  broken[1][0] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(run_chain(mala, quartic(), broken, Rng(7, "chain"), steps(3)), WorkError);
  Target without;
  without.energy = [](const Tensor& x) { return (x.sum(1) - 1).sqrt(); };  // not a number at the start
  EXPECT_THROW(run_chain(mala, without, start, Rng(7, "chain"), steps(3)), WorkError);
  LangevinOptions wild;
  wild.step_size = 100;
  EXPECT_THROW(run_chain(std::make_shared<Langevin>(wild), quartic(), start + 3, Rng(7, "chain"), steps(50)),
               WorkError);
}

TEST(Chain, IterateDrawsNewNumbersAtEveryTrainingStep) {
  const Langevin kernel{LangevinOptions{}};
  const Tensor start = torch::zeros({4, 2}, kFloat64);
  const Rng rng(8, "negatives");
  Rng first = rng.at_step(1), again = rng.at_step(1), second = rng.at_step(2), whole = rng.at_step(1);
  const Tensor ends = iterate(kernel, quartic(), start, 5, first).x;
  EXPECT_TRUE(torch::equal(ends, iterate(kernel, quartic(), start, 5, again).x));
  EXPECT_FALSE(torch::equal(ends, iterate(kernel, quartic(), start, 5, second).x));
  Tensor x = start;
  for (int t = 0; t < 5; ++t) x = x + 0.005 * score_of(quartic(), x) + 0.1 * whole.normal({4, 2}, x);
  EXPECT_TRUE(torch::allclose(ends, x, 1e-13, 1e-13));
  Rng none = rng;
  EXPECT_TRUE(torch::equal(iterate(kernel, quartic(), start, 0, none).x, start));
}

}  // namespace
}  // namespace gibbsite
