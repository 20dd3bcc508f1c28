#include <gibbsite/core/error.h>
#include <gibbsite/sampler/annealing.h>
#include <sampler/gaussians.h>

namespace gibbsite {
namespace {

using testing::kFloat64;

double temperature(const AnnealingLevel& level) { return level.kernel.noise_scale * level.kernel.noise_scale; }

TEST(Annealing, TheTemperatureScheduleIsThePublishedOne) {
  for (const std::string cooling : {"linear", "exponential"}) {
    TemperatureAnnealing options;
    options.cooling = cooling;
    std::vector<double> temperatures;
    for (const AnnealingLevel& level : temperature_schedule(options)) {
      EXPECT_DOUBLE_EQ(level.kernel.step_size, 0.02 * 0.02);
      EXPECT_EQ(level.target, 0);
      temperatures.insert(temperatures.end(), static_cast<std::size_t>(level.steps), temperature(level));
    }
    ASSERT_EQ(temperatures.size(), 2700u);
    EXPECT_NEAR(temperatures[0], 100, 1e-12);
    EXPECT_NEAR(temperatures[500], 100, 1e-12);
    EXPECT_NEAR(temperatures[1500], cooling == "linear" ? 100 - 99.0 * 1000 / 1999 : std::pow(100, 999.0 / 1999),
                1e-10);
    EXPECT_NEAR(temperatures[2499], 1, 1e-12);
    EXPECT_NEAR(temperatures[2500], 1, 1e-12);
    EXPECT_NEAR(temperatures[2600], 1 - 100.0 / 199, 1e-12);
    EXPECT_EQ(temperatures[2699], 0);
  }
  TemperatureAnnealing wrong;
  wrong.cooling = "logarithmic";
  EXPECT_THROW(temperature_schedule(wrong), RequestError);
  wrong = {};
  wrong.eta = 0;
  EXPECT_THROW(temperature_schedule(wrong), RequestError);
}

TEST(Annealing, TheNoiseScheduleIsThePublishedOne) {
  NoiseAnnealing options;
  const AnnealingSchedule schedule = noise_schedule(options, {1, 0.1, 0.01});
  ASSERT_EQ(schedule.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(schedule[i].steps, 100);
    EXPECT_EQ(schedule[i].target, static_cast<std::int64_t>(i));
    EXPECT_EQ(schedule[i].kernel.noise_scale, 1);
    EXPECT_NEAR(schedule[i].kernel.step_size / (2 * 2e-5 * std::pow(100.0, 2 - static_cast<double>(i))), 1, 1e-12);
  }
  EXPECT_THROW(noise_schedule(options, {}), RequestError);
  EXPECT_THROW(noise_schedule(options, {1, 0}), RequestError);
}

// With E = k x²/2 and step η² the variance follows v' = (1 − η²k/2)² v + T η² exactly, whatever the temperatures.
TEST(Annealing, ByTemperatureFollowsTheExactVariance) {
  TemperatureAnnealing options;
  options.eta = 0.5;
  options.hot = 9;
  options.hot_steps = 10;
  options.cooling_steps = 20;
  options.quench_steps = 6;
  const double k = 2.5;
  Target target;
  target.score = [=](const Tensor& x) { return -k * x; };
  const AnnealingSchedule schedule = temperature_schedule(options);
  const Tensor start = annealing_start({30000, 2}, torch::empty({0}, kFloat64), Rng(1, "annealed"));
  testing::expect_moments(start, torch::full({2}, 0.5, kFloat64), torch::eye(2, kFloat64), "start");
  const AnnealingResult result = anneal(
      schedule, [&](std::int64_t) { return target; }, start, Rng(1, "annealed"));
  const double shrink = 1 - 0.25 * k / 2;
  double mean = 0.5, variance = 1;
  for (const AnnealingLevel& level : schedule)
    for (std::int64_t t = 0; t < level.steps; ++t) {
      mean *= shrink;
      variance = shrink * shrink * variance + temperature(level) * 0.25;
    }
  EXPECT_EQ(result.steps_done, 36);
  EXPECT_LT(variance, 0.2);  // the quench shows
  testing::expect_moments(result.x, torch::full({2}, mean, kFloat64), variance * torch::eye(2, kFloat64), "annealed");
}

// Data N(0, 1) and levels σ: the score of the noisy law is −x/(1 + σ²), and a step of size a gives
// v' = (1 − a/(1 + σ²))² v + 2a.
TEST(Annealing, ByNoiseLevelFollowsTheExactVariance) {
  const std::vector<double> sigmas = {2, 0.8, 0.3};
  NoiseAnnealing options;
  options.epsilon = 0.01;
  options.steps_per_level = 12;
  std::vector<std::int64_t> asked;
  const TargetAt target_at = [&](std::int64_t level) {
    asked.push_back(level);
    const double spread = 1 + sigmas[static_cast<std::size_t>(level)] * sigmas[static_cast<std::size_t>(level)];
    Target target;
    target.score = [=](const Tensor& x) { return x / -spread; };
    return target;
  };
  const AnnealingResult result =
      anneal(noise_schedule(options, sigmas), target_at, torch::zeros({30000, 2}, kFloat64), Rng(2, "annealed"));
  double variance = 0;
  for (const double sigma : sigmas)
    for (int t = 0; t < 12; ++t) {
      const double a = 0.01 * sigma * sigma / 0.09, shrink = 1 - a / (1 + sigma * sigma);
      variance = shrink * shrink * variance + 2 * a;
    }
  EXPECT_EQ(asked, (std::vector<std::int64_t>{0, 1, 2}));
  testing::expect_moments(result.x, torch::zeros({2}, kFloat64), variance * torch::eye(2, kFloat64), "annealed");
}

TEST(Annealing, IsTheSameForAnySplitAndReportsToItsPorts) {
  struct Count : SampleWriter, Interrupt {
    std::vector<std::int64_t> steps;
    std::int64_t asked = 0, stop = -1;
    void write(std::int64_t step, const Tensor&) override { steps.push_back(step); }
    bool requested() override { return asked++ == stop; }
  };
  TemperatureAnnealing options;
  options.hot_steps = 7;
  options.cooling_steps = 6;
  options.quench_steps = 4;
  const AnnealingSchedule schedule = temperature_schedule(options);
  const TargetAt target_at = [](std::int64_t) { return testing::quartic(); };
  const Tensor start = Rng(3, "start").normal({10, 3});
  const Rng rng(4, "annealed");
  Count count;
  Ports ports;
  ports.interrupt = &count;
  ports.samples = &count;
  const Tensor all = anneal(schedule, target_at, start, rng, ports, 5).x;
  EXPECT_EQ(count.steps, (std::vector<std::int64_t>{5, 10, 15}));
  EXPECT_EQ(count.asked, 17);
  EXPECT_TRUE(torch::equal(all.slice(0, 5), anneal(schedule, target_at, start.slice(0, 5), rng.at_row(5)).x));
  count.asked = 0;
  count.stop = 9;
  const AnnealingResult stopped = anneal(schedule, target_at, start, rng, ports);
  EXPECT_TRUE(stopped.interrupted);
  EXPECT_EQ(stopped.steps_done, 9);
  Target explosive;
  explosive.score = [](const Tensor& x) { return x * 1e20; };
  EXPECT_THROW(anneal(
                   schedule, [&](std::int64_t) { return explosive; }, start, rng),
               WorkError);
}

TEST(Annealing, DenoisingFindsTheCleanPoint) {
  // Data at the point m with noise σ: the energy is |x − m|²/2σ², and the clean point is m.
  const Tensor m = torch::tensor({0.25, 0.75}, torch::kDouble);
  Target target;
  target.energy = [=](const Tensor& x) { return (x - m).square().sum(1) / (2 * 0.01); };
  const Tensor x = Rng(5, "x").normal({4, 2}, torch::kDouble);
  EXPECT_LT((denoise(target, x, 0.1) - m).abs().max().item<double>(), 1e-13);
}

}  // namespace
}  // namespace gibbsite
