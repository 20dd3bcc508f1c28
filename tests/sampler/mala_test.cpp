#include <gibbsite/sampler/chain.h>
#include <gibbsite/sampler/mala.h>
#include <sampler/gaussians.h>

namespace gibbsite {
namespace {

using testing::kFloat64;
using testing::quartic;

TEST(Mala, SamplesACorrelatedGaussian) {
  for (const std::int64_t d : {2, 3, 4, 5}) {
    const Tensor a = testing::precision_matrix(d), mean = torch::linspace(-1, 1, d, kFloat64);
    MalaOptions options;
    options.step_size = 1.2 / torch::linalg_eigvalsh(a).max().item<double>();
    ChainOptions run;
    run.steps = 150;
    const auto result = run_chain(std::make_shared<Mala>(options), testing::gaussian(a, mean),
                                  torch::zeros({20000, d}, kFloat64), Rng(21, "mala"), run);
    testing::expect_moments(result.last.x, mean, torch::linalg_inv(a), "mala");
    EXPECT_GT(result.acceptance.mean().item<double>(), 0.4);
    EXPECT_LT(result.acceptance.mean().item<double>(), 0.98);  // the test is at work
  }
}

TEST(Mala, DetailedBalanceIsSymmetric) {
  const double eta = 0.7;
  const Tensor x = Rng(1, "x").normal({500, 3}, torch::kDouble), y = Rng(2, "y").normal({500, 3}, torch::kDouble);
  const EnergyScore at_x = energy_and_score(quartic(), x, "test"), at_y = energy_and_score(quartic(), y, "test");
  // The proposal density written out here, normaliser and all.
  const auto log_q = [&](const Tensor& to, const Tensor& from, const Tensor& score) {
    return (to - from - score * (eta / 2)).square().sum(1) * (-1 / (2 * eta)) - 1.5 * std::log(2 * M_PI * eta);
  };
  const Tensor forward = log_q(y, x, at_x.score), backward = log_q(x, y, at_y.score);
  EXPECT_LT((mala_log_proposal(y, x, at_x.score, eta) - forward).abs().max().item<double>(), 1e-12);
  const auto flow = [&](const Tensor& energy, const Tensor& proposal, const Tensor& log_ratio) {
    return -energy + proposal + log_ratio.clamp_max(0);
  };
  const Tensor there = flow(at_x.energy, forward, mala_log_ratio(x, at_x, y, at_y, eta));
  const Tensor back = flow(at_y.energy, backward, mala_log_ratio(y, at_y, x, at_x, eta));
  // Relative to the flow itself; the logarithms reach about −50, whose rounding is 1e-14.
  EXPECT_LT((there - back).expm1().abs().max().item<double>(), 1e-12);
  EXPECT_GT((forward - backward).abs().min().item<double>(), 1e-6);  // proposals alone are not symmetric
  // The form for tensors that are not contiguous is the same ratio.
  const Tensor strided = x.t().contiguous().t();
  EXPECT_LT(
      (mala_log_ratio(strided, at_x, y, at_y, eta) - mala_log_ratio(x, at_x, y, at_y, eta)).abs().max().item<double>(),
      1e-12);
  // Normalised: in one dimension the density integrates to one.
  const Tensor grid = torch::linspace(-10, 10, 4001, kFloat64).unsqueeze(1);
  const Tensor from = torch::full({4001, 1}, 0.4, kFloat64), score = torch::full({4001, 1}, -1.3, kFloat64);
  EXPECT_NEAR(mala_log_proposal(grid, from, score, eta).exp().sum().item<double>() * 0.005, 1, 1e-9);
}

TEST(Mala, TheKernelUsesThatProposalAndThatRatio) {
  MalaOptions options;
  options.step_size = 0.7;
  const Tensor x = Rng(3, "x").normal({400, 3}, torch::kDouble);
  Rng rng(4, "noise");
  const Step step = Mala(options).step(quartic(), x, rng);
  const EnergyScore at_x = energy_and_score(quartic(), x, "test");
  const Tensor y = x + 0.35 * at_x.score + step.noise;
  const EnergyScore at_y = energy_and_score(quartic(), y, "test");
  const Tensor log_ratio =
      at_x.energy - at_y.energy + mala_log_proposal(x, y, at_y.score, 0.7) - mala_log_proposal(y, x, at_x.score, 0.7);
  EXPECT_LT((step.probability - log_ratio.clamp_max(0).exp()).abs().max().item<double>(), 1e-12);
  EXPECT_TRUE(torch::allclose(step.x, torch::where(step.accepted.unsqueeze(1) > 0, y, x), 1e-14, 1e-14));
  const double p = step.probability.mean().item<double>();
  EXPECT_NEAR(step.accepted.mean().item<double>(), p, 4 * std::sqrt(p * (1 - p) / 400));
  EXPECT_GT(step.accepted.sum().item<double>(), 0);
  EXPECT_LT(step.accepted.sum().item<double>(), 400);
}

TEST(Mala, StridedStatesMoveLikeContiguousOnes) {
  MalaOptions options;
  options.step_size = 0.7;
  const Tensor x = Rng(3, "x").normal({400, 3}, torch::kDouble);
  Rng a(4, "noise"), b(4, "noise");
  const Step step = Mala(options).step(quartic(), x, a),
             strided = Mala(options).step(quartic(), x.t().contiguous().t(), b);
  EXPECT_TRUE(torch::equal(step.accepted, strided.accepted));
  EXPECT_TRUE(torch::allclose(step.x, strided.x, 1e-13, 1e-13));
  EXPECT_TRUE(torch::allclose(step.score, strided.score, 1e-12, 1e-12));
  EXPECT_TRUE(torch::allclose(step.energy, strided.energy, 1e-12, 1e-12));
  EXPECT_TRUE(torch::allclose(step.probability, strided.probability, 1e-12, 1e-12));
}

TEST(Mala, RejectsWhatHasNoEnergy) {
  // A half normal: the energy is infinite, or not a number, on the other side. Its mean is √(2/π), its variance 1 − 2/π.
  for (const double outside : {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    Target half_normal;
    half_normal.energy = [=](const Tensor& x) {
      return torch::where(x > 0, x.square() * 0.5, torch::full_like(x, outside)).sum(1);
    };
    MalaOptions options;
    options.step_size = 0.5;
    ChainOptions run;
    run.steps = 100;
    const auto result =
        run_chain(std::make_shared<Mala>(options), half_normal, torch::ones({20000, 1}, kFloat64), Rng(5, "half"), run);
    EXPECT_GT(result.last.x.min().item<double>(), 0);
    testing::expect_moments(result.last.x, torch::full({1}, std::sqrt(2 / M_PI), kFloat64),
                            torch::full({1, 1}, 1 - 2 / M_PI, kFloat64), "half normal");
  }
}

}  // namespace
}  // namespace gibbsite
