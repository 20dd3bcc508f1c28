#include <gibbsite/core/error.h>
#include <gibbsite/core/random.h>
#include <gibbsite/metric/moments.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

const at::TensorOptions doubles = at::TensorOptions().dtype(at::kDouble);

TEST(Moments, NumbersByHand) {
  const Tensor samples = at::tensor({0.0, 2.0, 4.0, 6.0}, doubles).view({4, 1});
  const MomentComparison result =
      compare_moments(samples, at::tensor({2.0}, doubles), at::tensor({4.0}, doubles).view({1, 1}));
  EXPECT_NEAR(result.mean[0].item<double>(), 3, 1e-12);
  // Deviations -2 0 2 4 from the reference: mean square 6.
  EXPECT_NEAR(result.covariance[0][0].item<double>(), 6, 1e-12);
  EXPECT_NEAR(result.mean_z[0].item<double>(), 1 / std::sqrt((20.0 / 3) / 4), 1e-12);
  EXPECT_EQ(result.independent, 4);
}

// z-scores of correct samples have unit variance, and a shift is seen with the power that its size promises.
TEST(Moments, NullAndShiftForRowsAndChains) {
  Rng rng(9, "test");
  const Tensor factor = at::tensor({1.0, 0.0, 0.8, 0.6}, doubles).view({2, 2});
  const Tensor mean = at::tensor({3.0, -1.0}, doubles), covariance = at::mm(factor, factor.t());
  double rows = 0, chains = 0, pairs = 0;
  const int repeats = 400;
  for (int r = 0; r < repeats; ++r) {
    const Tensor x = at::mm(rng.normal({400, 2}, at::kDouble), factor.t()) + mean;
    const MomentComparison by_rows = compare_moments(x, mean, covariance);
    rows += by_rows.mean_z.square().mean().item<double>() + by_rows.covariance_z[0][1].square().item<double>();
    // Five identical states per chain: rows would claim five times the information.
    const MomentComparison by_chains = compare_moments(x.unsqueeze(0).expand({5, 400, 2}), mean, covariance);
    chains += by_chains.mean_z.square().mean().item<double>() + by_chains.covariance_z[0][1].square().item<double>();
    const MomentComparison both = compare_moments_of_samples(x.narrow(0, 0, 150), x.narrow(0, 150, 250));
    pairs += both.mean_z.square().mean().item<double>() + both.covariance_z[0][1].square().item<double>();
  }
  // Sum of two means of squares of about N(0, 1): standard error about sqrt(2 * 2 / 400) = 0.1.
  EXPECT_NEAR(rows / repeats, 2, 0.4);
  EXPECT_NEAR(chains / repeats, rows / repeats, 1e-6);
  EXPECT_NEAR(pairs / repeats, 2, 0.4);

  const Tensor x = at::mm(rng.normal({400, 2}, at::kDouble), factor.t()) + mean;
  const MomentComparison shifted = compare_moments(x, mean + 0.5, covariance);
  EXPECT_NEAR(shifted.mean_z[0].item<double>(), -10, 4.5);
  EXPECT_GT(shifted.worst_z, 5);
  EXPECT_GT(compare_moments(x, mean, 2 * covariance).covariance_z[0][0].abs().item<double>(), 5);
}

TEST(Moments, ConstantColumnsAndTooFewSamples) {
  const Tensor x = at::ones({10, 2}, doubles);
  EXPECT_EQ(compare_moments(x, at::ones({2}, doubles), at::zeros({2, 2}, doubles)).worst_z, 0);
  EXPECT_TRUE(std::isinf(compare_moments(x, at::zeros({2}, doubles), at::zeros({2, 2}, doubles)).worst_z));
  EXPECT_THROW(compare_moments(x.narrow(0, 0, 1), at::ones({2}, doubles), at::zeros({2, 2}, doubles)), WorkError);
}

}  // namespace
}  // namespace gibbsite
