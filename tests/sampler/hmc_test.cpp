#include <gibbsite/core/error.h>
#include <gibbsite/sampler/chain.h>
#include <gibbsite/sampler/hmc.h>
#include <gibbsite/sampler/mala.h>
#include <sampler/gaussians.h>

namespace gibbsite {
namespace {

using testing::kFloat64;
using testing::quartic;

Tensor number(double value) { return torch::full({}, value, kFloat64); }

Phase begin(const Tensor& x, const Tensor& momentum) {
  const EnergyScore at = energy_and_score(quartic(), x, "test");
  return {x, momentum, at.energy, at.score};
}

TEST(Hmc, SamplesACorrelatedGaussian) {
  for (const double jitter : {0.0, 0.3})
    for (const std::int64_t d : {2, 3, 4, 5}) {
      const Tensor a = testing::precision_matrix(d), mean = torch::linspace(-1, 1, d, kFloat64);
      HmcOptions options;
      options.step_size = 1.2 / std::sqrt(torch::linalg_eigvalsh(a).max().item<double>());
      options.leapfrog_steps = 3;
      options.jitter = jitter;
      ChainOptions run;
      run.steps = 40;
      const auto result = run_chain(std::make_shared<Hmc>(options), testing::gaussian(a, mean),
                                    torch::zeros({20000, d}, kFloat64), Rng(31, "hmc"), run);
      testing::expect_moments(result.last.x, mean, torch::linalg_inv(a), "hmc");
      EXPECT_GT(result.acceptance.mean().item<double>(), 0.5);
      EXPECT_LT(result.acceptance.mean().item<double>(), 0.98);
    }
}

TEST(Hmc, ForwardThenBackwardReturns) {
  const Tensor x = Rng(1, "x").normal({50, 3}, torch::kDouble), p = Rng(2, "p").normal({50, 3}, torch::kDouble);
  const Phase there = leapfrog(quartic(), begin(x, p), number(0.1), 25);
  const Phase back = leapfrog(quartic(), {there.x, -there.momentum, there.energy, there.score}, number(0.1), 25);
  EXPECT_GT((there.x - x).abs().max().item<double>(), 0.5);
  EXPECT_LT((back.x - x).abs().max().item<double>(), 1e-10);
  EXPECT_LT((back.momentum + p).abs().max().item<double>(), 1e-10);
}

TEST(Hmc, KeepsPhaseVolume) {
  // The Jacobian of (x, p) -> (x', p') in two dimensions by central differences.
  const Tensor at = torch::tensor({0.3, -0.8, 1.1, 0.4}, torch::kDouble);
  const double h = 1e-5;
  const Tensor shifts = torch::cat({torch::eye(4, kFloat64), -torch::eye(4, kFloat64)}) * h + at;
  const Phase end = leapfrog(quartic(), begin(shifts.slice(1, 0, 2), shifts.slice(1, 2)), number(0.2), 7);
  const Tensor mapped = torch::cat({end.x, end.momentum}, 1);
  const Tensor jacobian = (mapped.slice(0, 0, 4) - mapped.slice(0, 4)) / (2 * h);
  EXPECT_NEAR(torch::linalg_det(jacobian).item<double>(), 1, 1e-8);
  EXPECT_GT((jacobian - torch::eye(4, kFloat64)).abs().max().item<double>(), 0.5);
}

TEST(Hmc, EnergyErrorFallsWithTheSquareOfTheStep) {
  const Tensor x = Rng(3, "x").normal({200, 3}, torch::kDouble), p = Rng(4, "p").normal({200, 3}, torch::kDouble);
  const Phase start = begin(x, p);
  const auto error = [&](double step, std::int64_t steps) {
    const Phase end = leapfrog(quartic(), start, number(step), steps);
    const Tensor change = end.energy - start.energy + (end.momentum.square().sum(1) - p.square().sum(1)) * 0.5;
    return change.square().mean().sqrt().item<double>();
  };
  const double ratio = error(0.02, 50) / error(0.01, 100);
  EXPECT_NEAR(ratio, 4, 0.1);
}

TEST(Hmc, OneLeapfrogStepIsMalaWithTheSquareOfTheStep) {
  HmcOptions hmc;
  hmc.step_size = 0.8;
  hmc.leapfrog_steps = 1;
  MalaOptions mala;
  mala.step_size = 0.64;
  const Tensor x = Rng(5, "x").normal({200, 3}, torch::kDouble);
  Rng a(6, "noise"), b(6, "noise");
  const Step one = Hmc(hmc).step(quartic(), x, a), other = Mala(mala).step(quartic(), x, b);
  EXPECT_LT((one.probability - other.probability).abs().max().item<double>(), 1e-12);
  EXPECT_TRUE(torch::allclose(one.x, other.x, 1e-12, 1e-12));
  EXPECT_TRUE(torch::allclose(one.noise * 0.8, other.noise));
}

TEST(Hmc, ReportsTheMomentumItFollowed) {
  HmcOptions options;
  options.step_size = 0.3;
  options.leapfrog_steps = 5;
  const Tensor x = Rng(7, "x").normal({60, 3}, torch::kDouble);
  Rng rng(8, "noise");
  const Step step = Hmc(options).step(quartic(), x, rng);
  const Phase end = leapfrog(quartic(), begin(x, step.noise), number(0.3), 5);
  EXPECT_TRUE(torch::equal(step.x, torch::where(step.accepted.unsqueeze(1) > 0, end.x, x)));
}

TEST(Hmc, JitterMovesEveryChainByItsOwnStep) {
  HmcOptions options;
  options.step_size = 0.1;
  options.leapfrog_steps = 1;
  options.jitter = 0.5;
  Target flat;
  flat.energy = [](const Tensor& x) { return (x * 0).sum(1); };
  Rng rng(9, "noise");
  const Step step = Hmc(options).step(flat, torch::zeros({2000, 2}, kFloat64), rng);
  const Tensor used = (step.x / step.noise).select(1, 0);
  EXPECT_GE(used.min().item<double>(), 0.05 - 1e-12);
  EXPECT_LE(used.max().item<double>(), 0.15 + 1e-12);
  EXPECT_NEAR(used.mean().item<double>(), 0.1, 4 * 0.1 / std::sqrt(12.0 * 2000));
  EXPECT_GT(used.std().item<double>(), 0.025);
  options.jitter = 1;
  EXPECT_THROW(Hmc{options}, RequestError);
  options.jitter = 0;
  options.leapfrog_steps = 0;
  EXPECT_THROW(Hmc{options}, RequestError);
}

}  // namespace
}  // namespace gibbsite
