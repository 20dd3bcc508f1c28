#include <gibbsite/core/random.h>
#include <gibbsite/metric/score_matching_loss.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

TEST(ScoreMatchingLoss, QuadraticByHand) {
  Rng rng(2, "test");
  const Tensor a = rng.normal({4, 4}, at::kDouble);
  const Tensor precision = at::mm(a, a.t());
  const Tensor x = rng.normal({501, 4}, at::kDouble);
  const EnergyFn energy = [&](const Tensor& p) { return (at::mm(p, precision) * p).sum(1) / 2; };
  const Tensor expected = at::mm(x, precision).square().sum(1) / 2 - precision.trace();
  EXPECT_LT((score_matching_terms(energy, x, 100) - expected).abs().max().item<double>(), 1e-10);
  const Estimate loss = score_matching_loss(energy, x, 100);
  EXPECT_NEAR(loss.value, expected.mean().item<double>(), 1e-10);
  EXPECT_NEAR(loss.standard_error, expected.std().item<double>() / std::sqrt(501.0), 1e-10);
}

TEST(ScoreMatchingLoss, FourthPowerImagesAndLinearEnergies) {
  Rng rng(4, "test");
  const Tensor x = rng.normal({10, 2, 3}, at::kDouble);
  const EnergyFn power = [](const Tensor& p) { return p.pow(4).flatten(1).sum(1); };
  const Tensor expected = (8 * x.pow(6) - 12 * x.square()).flatten(1).sum(1);
  EXPECT_LT((score_matching_terms(power, x, 3) - expected).abs().max().item<double>(), 1e-10);
  const EnergyFn linear = [](const Tensor& p) { return 3 * p.flatten(1).sum(1); };
  EXPECT_LT((score_matching_terms(linear, x) - 27).abs().max().item<double>(), 1e-12);
}

TEST(ScoreMatchingLoss, IsSmallestAtTheTruthWhereItIsMinusHalfTheFisherInformation) {
  Rng rng(6, "test");
  const Tensor x = 0.5 * rng.normal({20000, 2}, at::kDouble);
  const auto loss = [&](double k) {
    return score_matching_loss([=](const Tensor& p) { return k * p.square().sum(1) / 2; }, x);
  };
  const Estimate truth = loss(4);
  EXPECT_NEAR(truth.value, -4, 4 * truth.standard_error);
  EXPECT_GT(loss(3.5).value, truth.value);
  EXPECT_GT(loss(4.5).value, truth.value);
}

// E = xᵀAx/2 has vᵀ∇²E v = vᵀAv: the mean over many probes tends to the trace, whatever the chunk, by jets as by autograd.
TEST(SlicedScoreMatchingLoss, ProbesAverageToTheTrace) {
  Rng rng(2, "test");
  const Tensor a = rng.normal({4, 4}, at::kDouble);
  const Tensor precision = at::mm(a, a.t());
  const Tensor x = rng.normal({50, 4}, at::kDouble);
  ScalarFunction energy;
  energy.value = [&](const Tensor& p) { return (at::mm(p, precision) * p).sum(1) / 2; };
  const Tensor norm = at::mm(x, precision).square().sum(1) / 2;
  const Rng probes(7, "probes");
  const Tensor one = sliced_score_matching_terms(energy, x, 1, probes, 50);
  Rng again = probes;
  const Tensor v = again.rademacher(x.sizes(), x);
  EXPECT_LT((one - (norm - (at::mm(v, precision) * v).sum(1))).abs().max().item<double>(), 1e-10);
  EXPECT_LT((one - sliced_score_matching_terms(energy, x, 1, probes, 7)).abs().max().item<double>(), 1e-10);

  const std::int64_t many = 400;
  const Tensor error = sliced_score_matching_terms(energy, x, many, probes) - (norm - precision.trace());
  // vᵀAv varies by 2 Σ_{i≠j} a_ij² over Rademacher directions.
  const double variance = 2 * (precision.square().sum() - precision.diagonal().square().sum()).item<double>();
  EXPECT_NEAR(error.mean().item<double>(), 0, 4 * std::sqrt(variance / (many * 50)));
  EXPECT_GT(error.abs().max().item<double>(), 0);

  energy.jet = [&](const Jet& p) {
    const Jet image = p.with(at::mm(p.c, precision));
    return sum(image * p, {1}) * 0.5;
  };
  EXPECT_LT((one - sliced_score_matching_terms(energy, x, 1, probes)).abs().max().item<double>(), 1e-10);
}

}  // namespace
}  // namespace gibbsite
