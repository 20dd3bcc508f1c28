#include <gibbsite/core/error.h>
#include <gibbsite/core/random.h>
#include <gibbsite/metric/auroc.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

const at::TensorOptions doubles = at::TensorOptions().dtype(at::kDouble);

// Share of ordered pairs, ties half, one pair at a time.
double by_pairs(const Tensor& positive, const Tensor& negative) {
  double sum = 0;
  for (std::int64_t i = 0; i < positive.numel(); ++i) {
    for (std::int64_t j = 0; j < negative.numel(); ++j) {
      const double p = positive[i].item<double>(), n = negative[j].item<double>();
      sum += p > n ? 1 : p == n ? 0.5 : 0;
    }
  }
  return sum / static_cast<double>(positive.numel() * negative.numel());
}

TEST(Auroc, EqualsTheShareOfPairsWithAndWithoutTies) {
  Rng rng(3, "test");
  const Tensor p = rng.normal({37}, at::kDouble) + 0.7, n = rng.normal({23}, at::kDouble);
  EXPECT_NEAR(auroc(p, n).value, by_pairs(p, n), 1e-12);
  const Tensor tied_p = (2 * p).round(), tied_n = (2 * n).round();
  EXPECT_NEAR(auroc(tied_p, tied_n).value, by_pairs(tied_p, tied_n), 1e-12);
  EXPECT_NEAR(auroc(tied_p, tied_p).value, 0.5, 1e-12);
  // By hand: 3 > 2 > 1 against 2: one above, one tie, one below.
  EXPECT_NEAR(auroc(at::tensor({1.0, 2.0, 3.0}, doubles), at::tensor({2.0}, doubles)).value, 0.5, 1e-12);
}

TEST(Auroc, StandardErrorMatchesRepetition) {
  Rng rng(5, "test");
  const std::int64_t repeats = 2000, size_p = 60, size_n = 40;
  const Tensor p = rng.normal({repeats, size_p}, at::kDouble) + 1, n = rng.normal({repeats, size_n}, at::kDouble);
  double sum = 0, squares = 0, reported = 0;
  for (std::int64_t r = 0; r < repeats; ++r) {
    const Estimate estimate = auroc(p[r], n[r]);
    sum += estimate.value;
    squares += estimate.value * estimate.value;
    reported += estimate.standard_error * estimate.standard_error;
  }
  const double mean = sum / repeats, deviation = std::sqrt(squares / repeats - mean * mean);
  // P(N(1, 1) > N(0, 1)) = Phi(1 / sqrt(2)).
  EXPECT_NEAR(mean, 0.5 * std::erfc(-0.5), 4 * deviation / std::sqrt(repeats));
  // A standard deviation from 2000 repeats is known to 1.6 %; DeLong's is unbiased in the variance.
  EXPECT_NEAR(std::sqrt(reported / repeats) / deviation, 1, 0.065);
}

TEST(Auroc, SeparationDoesNotClaimCertaintyAndBadInputIsRefused) {
  const Tensor p = at::ones({50}, doubles), n = at::zeros({98}, doubles);
  EXPECT_EQ(auroc(p, n).value, 1);
  EXPECT_NEAR(auroc(p, n).standard_error, 1.0 / 52, 1e-12);
  EXPECT_THROW(auroc(p, at::empty({0}, doubles)), WorkError);
  EXPECT_THROW(auroc(p, n * NAN), WorkError);
}

TEST(DetectionAuroc, InDistributionIsPositiveExceptForTypicality) {
  // A Gaussian model: points far out have a larger energy and a larger gradient norm.
  const EnergyFn energy = [](const Tensor& x) { return x.square().sum(1) / 2; };
  Rng rng(1, "test");
  const Tensor in = rng.normal({100, 5}, at::kDouble);
  const ScoredPoints near = score_points(energy, in, 33), far = score_points(energy, 10 * in, 33);
  EXPECT_LT((near.energy - in.square().sum(1) / 2).abs().max().item<double>(), 1e-12);
  EXPECT_LT((near.gradient_norm - in.norm(2, 1)).abs().max().item<double>(), 1e-12);
  EXPECT_GT(detection_auroc(DetectionScore::kLogDensity, near, far).value, 0.95);
  EXPECT_GT(detection_auroc(DetectionScore::kGradientNorm, near, far).value, 0.95);
  EXPECT_GT(detection_auroc(DetectionScore::kTypicality, near, far, 2.5).value, 0.95);
  // The centre has a larger density than the data and is not typical.
  const ScoredPoints centre = score_points(energy, 0.01 * in);
  EXPECT_LT(detection_auroc(DetectionScore::kLogDensity, near, centre).value, 0.05);
  EXPECT_GT(detection_auroc(DetectionScore::kTypicality, near, centre, 2.5).value, 0.6);
  EXPECT_EQ(detection_score_name(DetectionScore::kGradientNorm), "gradient_norm");
}

}  // namespace
}  // namespace gibbsite
