// The Fisher divergence by two scores, by critics, and what affine critics give.
#include <gibbsite/metric/fisher_divergence.h>
#include <gibbsite/model/mlp_score.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

std::unique_ptr<ScoreNetwork> network(std::int64_t size) {
  MlpScoreOptions options;
  options.hidden = {6};
  options.skip = true;
  ModelContext context;
  context.event = {size};
  context.init = Rng(3, "init");
  context.dtype = at::kDouble;
  return make_mlp_score(options, context);
}

// N(0, I) against N(m, I): ½ ‖m‖² at every point.
TEST(FisherDivergence, OfTwoScores) {
  const Tensor x = Rng(1, "x").normal({50, 3}, at::kDouble), m = torch::tensor({1.0, -2.0, 0.5}, at::kDouble);
  const Estimate found = fisher_divergence(-x, -(x - m));
  EXPECT_NEAR(found.value, 2.625, 1e-12);
  EXPECT_NEAR(found.standard_error, 0, 1e-12);
}

// A critic f = m multiplied by anything comes back to the divergence ½ ‖m‖² of N(0, I) from N(m, I).
TEST(CriticDivergence, ScalesTheCriticByTheValidationRows) {
  const std::int64_t d = 3;
  const auto critic = network(d);
  const Tensor m = torch::tensor({1.0, -2.0, 0.5}, at::kDouble);
  for (Tensor& p : critic->module().parameters()) p.detach().zero_();
  const Tensor validation = Rng(1, "v").normal({20000, d}, at::kDouble),
               test = Rng(2, "t").normal({20000, d}, at::kDouble);
  const PointScore score = [&](const Tensor& v, Rng&) { return m - v; };
  for (const double factor : {0.1, 1.0, -3.0}) {
    for (Tensor& p : critic->module().parameters())
      if (p.dim() == 1 && p.size(0) == d) p.detach().copy_(factor * m);
    const CriticDivergence found = critic_divergence(*critic, score, validation, test, 1, Rng(4, "critic"));
    EXPECT_NEAR(found.scale * factor, 1, 0.05);
    EXPECT_NEAR(found.value.value, 2.625, 4 * found.value.standard_error);
    EXPECT_LT(found.value.standard_error, 0.03);
  }
}

// Where model and data are one law, any critic is brought to a divergence of 0 within its standard error.
TEST(CriticDivergence, IsZeroAtTheTruth) {
  const auto critic = network(4);
  const Tensor validation = Rng(1, "v").normal({4000, 4}, at::kDouble),
               test = Rng(2, "t").normal({4000, 4}, at::kDouble);
  const PointScore score = [](const Tensor& v, Rng&) { return -v; };
  const CriticDivergence found = critic_divergence(*critic, score, validation, test, 2, Rng(4, "critic"));
  EXPECT_LT(std::abs(found.value.value), 3 * found.value.standard_error);
  EXPECT_LT(std::abs(found.scale), 0.2);
}

// A difference A x + b + c x₁² of N(0, I): the squared mean and the linear part are explained, 2 c² are not.
TEST(AffineDivergence, IsTheExplainedSquare) {
  const auto difference = [](const Tensor& x) {
    const Tensor affine =
        at::linear(x, torch::tensor({{1.0, 0.5}, {-0.3, 2.0}}, at::kDouble), torch::tensor({0.7, 0.1}, at::kDouble));
    return affine + at::cat({0.8 * x.narrow(1, 0, 1).square(), torch::zeros({x.size(0), 1}, at::kDouble)}, 1);
  };
  const Tensor a = Rng(1, "a").normal({40000, 2}, at::kDouble), b = Rng(2, "b").normal({40000, 2}, at::kDouble);
  const double linear = 1 + 0.25 + 0.09 + 4, mean = (0.7 + 0.8) * (0.7 + 0.8) + 0.01, rest = 2 * 0.64;
  const double truth = fisher_divergence(torch::zeros_like(b), difference(b)).value;
  const Estimate affine = affine_divergence({a, difference(a)}, {b, difference(b)});
  EXPECT_NEAR(affine.value / truth, (linear + mean) / (linear + mean + rest), 0.01);
  EXPECT_NEAR(affine.value, 0.5 * (linear + mean), 4 * affine.standard_error);
}

}  // namespace
}  // namespace gibbsite
