#include <gibbsite/core/error.h>
#include <gibbsite/core/random.h>
#include <gibbsite/metric/frechet.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

const at::TensorOptions doubles = at::TensorOptions().dtype(at::kDouble);

Tensor matrix(std::initializer_list<double> values) { return at::tensor(values, doubles).view({2, 2}); }

TEST(GaussianFrechetDistance, OfCommutingCovariances) {
  const Tensor mean_a = at::tensor({1.0, -2.0, 0.5}, doubles), mean_b = at::tensor({0.0, 1.0, 0.5}, doubles);
  const Tensor a = at::tensor({4.0, 0.25, 9.0}, doubles), b = at::tensor({1.0, 0.0, 2.25}, doubles);
  // 1 + 9 + (2 - 1)² + 0.5² + (3 - 1.5)²
  const double expected = 10 + 1 + 0.25 + 2.25;
  EXPECT_NEAR(gaussian_frechet_distance(mean_a, at::diag(a), mean_b, at::diag(b)), expected, 1e-12);
  // The same in a turned frame, where nothing is diagonal.
  const Tensor q = std::get<0>(at::linalg_qr(Rng(1, "frame").normal({3, 3}, at::kDouble)));
  const auto turned = [&](const Tensor& d) { return at::matmul(at::matmul(q, at::diag(d)), q.t()); };
  EXPECT_NEAR(gaussian_frechet_distance(at::matmul(q, mean_a), turned(a), at::matmul(q, mean_b), turned(b)), expected,
              1e-7);
}

// tr M^½ = (tr M + 2 det(M)^½)^½ for 2x2 matrices with positive eigenvalues; M = AB has trace 10 and determinant 12.
TEST(GaussianFrechetDistance, OfCovariancesThatDoNotCommute) {
  const Tensor a = matrix({4, 0, 0, 1}), b = matrix({2, 1, 1, 2}), zero = at::zeros({2}, doubles);
  const double expected = 5 + 4 - 2 * std::sqrt(10 + 2 * std::sqrt(12.0));
  EXPECT_NEAR(expected, 0.7712, 1e-4);
  EXPECT_NEAR(gaussian_frechet_distance(zero, a, zero, b), expected, 1e-12);
  EXPECT_NEAR(gaussian_frechet_distance(zero, b, zero, a), expected, 1e-12);
  EXPECT_EQ(gaussian_frechet_distance(zero, a, zero, a), 0);
}

TEST(FrechetDistance, IsThatOfTheSampleMoments) {
  Rng rng(2, "features");
  const Tensor a = rng.normal({50, 4}, at::kDouble) * 2 + 100, b = rng.normal({70, 4}, at::kDouble) + 101;
  const Estimate found = frechet_distance(a, b);
  EXPECT_NEAR(found.value, gaussian_frechet_distance(a.mean(0), at::cov(a.t()), b.mean(0), at::cov(b.t())), 1e-9);
  EXPECT_EQ(found.count, 50);
}

// Its error is that of repetitions: the mean of squared standard errors is the variance, to their own accuracy.
TEST(FrechetDistance, StandardErrorIsTheSpreadOfRepetitions) {
  constexpr int kRepetitions = 200;
  const Tensor factor = matrix({1, 0, 0.5, 0.8});
  double sum = 0, squares = 0, claimed = 0;
  for (int r = 0; r < kRepetitions; ++r) {
    Rng rng = Rng(3, "repeat").at_step(static_cast<std::uint64_t>(r));
    const Tensor a = at::matmul(rng.normal({400, 2}, at::kDouble), factor.t()) + 0.7;
    const Estimate found = frechet_distance(a, rng.normal({300, 2}, at::kDouble));
    sum += found.value;
    squares += found.value * found.value;
    claimed += found.standard_error * found.standard_error / kRepetitions;
  }
  const double mean = sum / kRepetitions, variance = squares / kRepetitions - mean * mean;
  const Tensor zero = at::zeros({2}, doubles);
  const double truth = gaussian_frechet_distance(zero + 0.7, at::matmul(factor, factor.t()), zero, at::eye(2, doubles));
  // The bias is of order 1/300.
  EXPECT_NEAR(mean, truth, 4 * std::sqrt(variance / kRepetitions) + 0.02);
  // A variance from 200 draws has a relative standard error of 10 %, a jackknife of 20 groups much less in the mean.
  EXPECT_NEAR(claimed / variance, 1, 0.4);
}

TEST(FrechetDistance, TakesFewerRowsThanFeatures) {
  const Tensor a = Rng(4, "few").normal({5, 12}, at::kFloat);
  EXPECT_NEAR(frechet_distance(a, a).value, 0, 1e-6);
  EXPECT_GT(frechet_distance(a, a + 1).standard_error, 0);
  EXPECT_NEAR(frechet_distance(a, a + 1).value, 12, 1e-5);
  EXPECT_TRUE(std::isnan(frechet_distance(a.narrow(0, 0, 3), a).standard_error));
  EXPECT_THROW(frechet_distance(a.narrow(0, 0, 1), a), WorkError);
  EXPECT_THROW(frechet_distance(a, a.narrow(1, 0, 3)), WorkError);
  EXPECT_THROW(frechet_distance(a, a / 0), WorkError);
}

}  // namespace
}  // namespace gibbsite
