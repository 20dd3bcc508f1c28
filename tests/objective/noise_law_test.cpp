#include <gibbsite/objective/noise_law.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

constexpr double kSigma = 0.7;

NoiseLawOptions options_for(const std::string& law) {
  NoiseLawOptions options;
  options.law = law;
  return options;
}

class NoiseLaws : public testing::TestWithParam<const char*> {
 protected:
  std::unique_ptr<const NoiseLaw> law = make_noise_law(options_for(GetParam()), kSigma);
};

// One dimension by the trapezoid rule: mass 1, and the density's own expectation of n² against 10⁵ draws.
TEST_P(NoiseLaws, DensityIsNormalisedAndMatchesTheDraws) {
  const Tensor grid = torch::linspace(-200, 200, 400001, at::kDouble);
  const Tensor density = law->log_density(grid.unsqueeze(1)).exp();
  EXPECT_NEAR(at::trapezoid(density, grid).item<double>(), 1, 1e-5);
  Rng rng(1, "draws");
  const std::int64_t n = 100000;
  const Tensor draws = law->sample({n, 1}, torch::empty({0}, at::kDouble), rng).squeeze(1);
  // A bounded function, so that heavy tails leave the standard error finite.
  const auto f = [](const Tensor& x) { return x.square() / (1 + x.square()); };
  const double expected = at::trapezoid(density * f(grid), grid).item<double>();
  const Tensor values = f(draws);
  EXPECT_NEAR(values.mean().item<double>(), expected, 4 * values.std().item<double>() / std::sqrt(n) + 1e-5);
  EXPECT_NEAR(draws.gt(0).to(at::kDouble).mean().item<double>(), 0.5, 4 * 0.5 / std::sqrt(n));
}

TEST_P(NoiseLaws, ScoreIsTheGradientOfTheLogDensity) {
  Rng rng(2, "points");
  const Tensor n = 2 * rng.normal({50, 2, 2}, at::kDouble), v = rng.normal({50, 2, 2}, at::kDouble);
  const double step = 1e-5;
  const Tensor slope = (law->log_density(n + step * v) - law->log_density(n - step * v)) / (2 * step);
  EXPECT_TRUE(at::allclose(sum_event(law->score(n) * v), slope, 1e-6, 1e-8));
  // Far out nothing over- or underflows.
  const Tensor far = torch::full({1, 4}, 1e3, at::kFloat);
  EXPECT_TRUE(law->score(far).isfinite().all().item<bool>());
  EXPECT_TRUE(law->log_density(far).isfinite().all().item<bool>());
  EXPECT_LT(law->score(far).max().item<double>(), 0);
}

// E[n·score(n)] = -d for every law (integration by parts), here in three dimensions.
TEST_P(NoiseLaws, DrawsSatisfyTheScoreIdentity) {
  Rng rng(3, "draws");
  const std::int64_t rows = 100000;
  const Tensor n = law->sample({rows, 3}, torch::empty({0}, at::kDouble), rng);
  const Tensor terms = sum_event(n * law->score(n));
  EXPECT_NEAR(terms.mean().item<double>(), -3, 4 * terms.std().item<double>() / std::sqrt(rows));
}

INSTANTIATE_TEST_SUITE_P(All, NoiseLaws, testing::Values("gaussian", "laplace", "student"));

}  // namespace
}  // namespace gibbsite
