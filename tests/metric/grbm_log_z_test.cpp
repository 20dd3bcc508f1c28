#include <gibbsite/metric/grbm_log_z.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

Grbm machine(std::int64_t visible, std::int64_t latent, double scale, at::ScalarType dtype) {
  ModelContext context;
  context.event = {visible};
  context.init = Rng(3, "init");
  context.dtype = dtype;
  GrbmOptions options;
  options.latent_size = latent;
  options.initial = "normal";
  options.initial_deviation = scale;
  Grbm made(options, context);
  const at::NoGradGuard no_grad;
  made.module().named_parameters()["log_deviation"].fill_(-0.2);
  return made;
}

// Acceptance check 4 of the sheet: within 0.02 of enumeration for four latent variables; and of the machine in float32.
TEST(GrbmLogZ, AnnealingAgreesWithEnumeration) {
  GrbmAisOptions options;
  options.temperatures = 400;
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
    const Grbm grbm = machine(2, 4, 1.0, dtype);
    const double truth = grbm.log_z().item<double>();
    const LogMean annealed = annealed_log_z(grbm, options, Rng(5, "ais"));
    EXPECT_LT(annealed.log_mean.standard_error, 0.01);
    EXPECT_NEAR(annealed.log_mean.value, truth, 4 * annealed.log_mean.standard_error);
    EXPECT_NEAR(annealed.log_mean.value, truth, 0.02);
    // Far from the start: the couplings carry a good part of the sum.
    EXPECT_GT(std::abs(truth - grbm.base_log_z().item<double>()), 0.3);
    const Estimate exact = log_z(grbm, options, Rng(5, "ais"));
    EXPECT_EQ(exact.value, truth);
    EXPECT_EQ(exact.standard_error, 0);
  }
}

// Latent variables without couplings to v sum out: 30 of them are beyond enumeration and known all the same.
TEST(GrbmLogZ, AnnealsBeyondEnumeration) {
  Grbm grbm = machine(2, 30, 0.7, at::kDouble);
  auto parameters = grbm.module().named_parameters();
  const at::NoGradGuard no_grad;
  parameters["weight"].zero_();
  GrbmAisOptions options;
  options.chains = 500;
  options.temperatures = 400;
  const Tensor bias = parameters["latent_bias"];
  const double truth = (bias.exp().log1p().sum() + 2 * (std::log(2 * M_PI) / 2 - 0.2)).item<double>();
  EXPECT_NEAR(log_z(grbm, options, Rng(5, "ais")).value, truth, 1e-9);
  const Grbm coupled = machine(2, 30, 0.4, at::kDouble);
  const Estimate one = log_z(coupled, options, Rng(5, "ais")), other = log_z(coupled, options, Rng(6, "ais"));
  EXPECT_GT(one.standard_error, 0);
  EXPECT_NEAR(one.value, other.value, 4 * std::hypot(one.standard_error, other.standard_error));
}

// From both sides: annealing up lies below and annealing down above, by more than their errors where few temperatures make
// them bad, and they meet where many make them good.
TEST(GrbmLogZ, ReverseAnnealingBoundsFromAbove) {
  const Grbm grbm = machine(2, 4, 1.5, at::kDouble);
  const double truth = grbm.log_z().item<double>();
  Rng draws(7, "exact");
  const Tensor v = grbm.sample(4000, draws);
  const LogMean many = reverse_annealed_log_z(grbm, v, 300, Rng(5, "ais"));
  EXPECT_LT(many.log_mean.standard_error, 0.01);
  EXPECT_NEAR(many.log_mean.value, truth, 4 * many.log_mean.standard_error);
  // The mean of single log weights, which the bounds are made of.
  const AnnealingPath path = annealing_path(grbm);
  const auto base = grbm.base_log_z().item<double>();
  Rng starts(8, "start");
  const Tensor start = grbm.sample_visible(torch::zeros({4000, 4}, torch::kDouble), starts, 0);
  const Estimate up = mean_estimate(annealed_importance(path, start, 2, Rng(9, "ais")).log_weights);
  const Estimate down = mean_estimate(annealed_importance(reversed(path), v, 2, Rng(9, "ais")).log_weights);
  EXPECT_LT(base + up.value, truth - 4 * up.standard_error);
  EXPECT_GT(base - down.value, truth + 4 * down.standard_error);
}

TEST(GrbmLogZ, ExactSamplesHaveTheMomentsOfTheDensity) {
  const Grbm grbm = machine(1, 4, 1.5, at::kDouble);
  Rng draws(7, "exact");
  const Tensor v = grbm.sample(20000, draws);
  const Tensor grid = torch::linspace(-40, 40, 8001, torch::kDouble).unsqueeze(1);
  const torch::NoGradGuard no_grad;
  const Tensor density = (-grbm.energy(grid) - grbm.log_z()).exp() * 0.01;
  EXPECT_NEAR(density.sum().item<double>(), 1, 1e-6);
  for (const double power : {1.0, 2.0}) {
    const double truth = (density * grid.flatten().pow(power)).sum().item<double>();
    const Estimate mean = mean_estimate(v.pow(power));
    EXPECT_NEAR(mean.value, truth, 4 * mean.standard_error) << power;
  }
}

// Beside the exact density; on average below it with few temperatures.
TEST(GrbmLogZ, ReverseAnnealingOfPointsGivesTheirLikelihood) {
  const Grbm grbm = machine(2, 4, 1.5, at::kDouble);
  Rng draws(7, "exact");
  const Tensor v = grbm.sample(50, draws);
  const torch::NoGradGuard no_grad;
  const Tensor truth = -grbm.energy(v) - grbm.log_z();
  GrbmAisOptions options;
  options.chains = 200;
  options.temperatures = 300;
  const Tensor found = reverse_annealed_log_likelihood(grbm, v, options, Rng(5, "raise"));
  const Estimate error = mean_estimate(found - truth);
  EXPECT_NEAR(error.value, 0, 4 * error.standard_error + 0.005);
  options.chains = 1;
  options.temperatures = 2;
  const Estimate low = mean_estimate(reverse_annealed_log_likelihood(grbm, v, options, Rng(5, "raise")) - truth);
  EXPECT_LT(low.value, -2 * low.standard_error);
}

}  // namespace
}  // namespace gibbsite
