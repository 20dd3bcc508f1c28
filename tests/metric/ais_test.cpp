#include <gibbsite/metric/ais.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

// exp(−‖x − m‖²/(2 s²)) in d dimensions has log Z = ½ d log(2π s²).
Target gaussian(double mean, double deviation) {
  Target target;
  target.energy = [=](const Tensor& x) { return sum_event((x - mean).square()) / (2 * deviation * deviation); };
  target.score = [=](const Tensor& x) { return (mean - x) / (deviation * deviation); };
  return target;
}

double log_z(std::int64_t d, double deviation) {
  return 0.5 * static_cast<double>(d) * std::log(2 * M_PI * deviation * deviation);
}

AisOptions quick(const std::string& kernel) {
  AisOptions options;
  options.kernel = kernel;
  options.temperatures = 200;
  options.step_size = 0.2;
  options.leapfrog_steps = 3;
  return options;
}

TEST(Ais, GivesTheNormaliserOfAGaussian) {
  const std::int64_t d = 5, chains = 400;
  const Target from = gaussian(0, 2), to = gaussian(1, 0.5);
  const double truth = log_z(d, 0.5) - log_z(d, 2);
  for (const char* kernel : {"hmc", "mala"}) {
    const Tensor start = 2 * Rng(1, "start").normal({chains, d}, at::kDouble);
    const AisResult forward = annealed_importance(from, to, start, quick(kernel), Rng(2, "ais"));
    const LogMean estimate = log_mean_weight(forward.log_weights);
    EXPECT_LT(estimate.log_mean.standard_error, 0.1) << kernel;
    EXPECT_NEAR(estimate.log_mean.value, truth, 4 * estimate.log_mean.standard_error) << kernel;
    EXPECT_GT(estimate.effective, 40) << kernel;
    EXPECT_GT(forward.acceptance, 0.4) << kernel;
    // The chains end in the target.
    EXPECT_NEAR(forward.x.mean().item<double>(), 1, 0.15) << kernel;

    const Tensor there = 1 + 0.5 * Rng(3, "start").normal({chains, d}, at::kDouble);
    const LogMean back =
        log_mean_weight(annealed_importance(to, from, there, quick(kernel), Rng(4, "ais")).log_weights);
    EXPECT_NEAR(-back.log_mean.value, truth, 4 * back.log_mean.standard_error) << kernel;
  }
}

// Without transitions that move, the weights are those of plain importance sampling, whatever the temperatures.
TEST(Ais, WeightsOfChainsThatStandStillAreImportanceWeights) {
  const Tensor start = 2 * Rng(1, "start").normal({50, 3}, at::kDouble);
  const Target from = gaussian(0, 2), to = gaussian(0.5, 1);
  AisOptions options = quick("mala");
  options.step_size = 1e-12;
  options.adapt = false;
  const AisResult still = annealed_importance(from, to, start, options, Rng(2, "ais"));
  EXPECT_TRUE(torch::allclose(still.log_weights, from.energy(start) - to.energy(start), 1e-4, 1e-4));
}

TEST(Ais, EnergiesWithoutScoresAndManyTransitionsGiveTheSame) {
  const Tensor start = 2 * Rng(1, "start").normal({20, 2}, at::kDouble);
  const Target from = gaussian(0, 2), to = gaussian(0.5, 1);
  AisOptions options = quick("hmc");
  options.temperatures = 10;
  options.transitions = 3;
  const Tensor with = annealed_importance(from, to, start, options, Rng(2, "ais")).log_weights;
  const Tensor without =
      annealed_importance({from.energy, {}, {}}, {to.energy, {}, {}}, start, options, Rng(2, "ais")).log_weights;
  EXPECT_TRUE(torch::allclose(with, without, 1e-9, 1e-9));
}

TEST(Ais, TemperaturesRiseFromZeroToOne) {
  for (const char* schedule : {"linear", "sigmoid"}) {
    AisOptions options;
    options.schedule = schedule;
    options.temperatures = 7;
    const std::vector<double> betas = annealing_temperatures(options);
    ASSERT_EQ(betas.size(), 8u);
    EXPECT_EQ(betas.front(), 0);
    EXPECT_DOUBLE_EQ(betas.back(), 1);
    for (std::size_t k = 1; k < betas.size(); ++k) EXPECT_GT(betas[k], betas[k - 1]);
  }
}

TEST(LogWeights, MeanErrorAndEffectiveSizeByHand) {
  // Weights 1 and 3, scaled by e^800 so that a plain exponential overflows.
  const LogMean two = log_mean_weight(torch::tensor({800.0, 800.0 + std::log(3.0)}, at::kDouble));
  EXPECT_NEAR(two.log_mean.value, 800 + std::log(2.0), 1e-12);
  EXPECT_NEAR(two.effective, 16.0 / 10, 1e-12);
  EXPECT_NEAR(two.log_mean.standard_error, 0.5, 1e-12);  // deviation √2 over √2 over the mean 2
  EXPECT_EQ(log_mean_weight(torch::tensor({-INFINITY, -INFINITY})).log_mean.value, -INFINITY);
  EXPECT_ANY_THROW(log_mean_weight(torch::tensor({0.0, std::nan("")})));
}

TEST(Importance, GivesTheNormaliserOfAGaussianInAnyBlocks) {
  const Tensor like = torch::empty({0}, at::kDouble);
  const Target target = gaussian(0.3, 1);
  const LogMean whole = importance_log_z(target.energy, gaussian_proposal(3, 2, like), 20000, Rng(1, "z"));
  EXPECT_NEAR(whole.log_mean.value, log_z(3, 1), 4 * whole.log_mean.standard_error);
  EXPECT_LT(whole.log_mean.standard_error, 0.03);
  const LogMean blocks = importance_log_z(target.energy, gaussian_proposal(3, 2, like), 20000, Rng(1, "z"), 777);
  EXPECT_NEAR(whole.log_mean.value, blocks.log_mean.value, 1e-10);
}

}  // namespace
}  // namespace gibbsite
