#include <gibbsite/core/error.h>
#include <gibbsite/core/random.h>
#include <gibbsite/metric/conformal.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

TEST(Conformal, CountsByHand) {
  const ConformalTest test(torch::tensor({3.0, 1.0, 2.0, 2.0}, torch::kDouble));
  const Tensor p = test.p_values(torch::tensor({0.0, 1.0, 2.0, 2.5, 3.0, 9.0}, torch::kDouble));
  EXPECT_TRUE(torch::allclose(p, torch::tensor({1.0, 1.0, 0.8, 0.4, 0.4, 0.2}, torch::kDouble)));
  const Alarm alarm = test.alarm(0.41);
  EXPECT_EQ(alarm.threshold, 2);  // 2.5 and more have p of at most 0.4
  EXPECT_DOUBLE_EQ(alarm.rate, 0.4);
  EXPECT_DOUBLE_EQ(alarm.deviation, std::sqrt(2 * 3 / (25.0 * 6)));
  EXPECT_EQ(test.alarm(0.2).threshold, 3);
  EXPECT_THROW(test.alarm(0.19), RequestError);
  EXPECT_THROW(test.alarm(1), RequestError);
  EXPECT_THROW(ConformalTest(torch::empty({0})), WorkError);
  EXPECT_THROW(ConformalTest(torch::tensor({1.0, std::nan("")})), WorkError);
  // 0.05 × 2000 must give 100, whatever the last bit of 0.05.
  for (const std::int64_t n : {99, 1999, 19})
    EXPECT_NEAR(ConformalTest(torch::arange(n)).alarm(0.05).rate, 0.05, 1e-15);
  // In binary, 0.29 × 100 is a little less than 29.
  for (const double rate : {0.29, 0.57}) EXPECT_NEAR(ConformalTest(torch::arange(99)).alarm(rate).rate, rate, 1e-15);
}

TEST(Conformal, AlarmsArePValuesOfAtMostTheRate) {
  Rng rng(1, "energies");
  const ConformalTest test(rng.normal({500}, torch::kDouble).mul(4).round());  // many ties
  const Tensor fresh = rng.normal({1000}, torch::kDouble).mul(4).round();
  for (const double rate : {0.01, 0.05, 0.2, 0.5})
    EXPECT_TRUE(torch::equal(fresh.gt(test.alarm(rate).threshold), test.p_values(fresh).le(rate + 1e-12))) << rate;
}

// Over many draws of held-out points the share of alarms has the mean and the deviation that are stated; fresh points are so
// many that their own spread is small and counted.
TEST(Conformal, FalseAlarmsFollowTheBetaLaw) {
  constexpr std::int64_t kTrials = 400, kHeldOut = 200, kFresh = 2000;
  for (const double rate : {0.01, 0.05}) {
    std::vector<double> shares;
    Alarm alarm;
    for (std::uint64_t t = 0; t < kTrials; ++t) {
      Rng own = Rng(7, "trial").at_step(t);
      const ConformalTest test(own.normal({kHeldOut}, torch::kDouble).square());
      alarm = test.alarm(rate);
      shares.push_back(
          own.normal({kFresh}, torch::kDouble).square().gt(alarm.threshold).to(torch::kDouble).mean().item<double>());
    }
    const Tensor found = torch::tensor(shares, torch::kDouble);
    const double variance = alarm.deviation * alarm.deviation + alarm.rate * (1 - alarm.rate) / kFresh;
    EXPECT_NEAR(found.mean().item<double>(), alarm.rate, 4 * std::sqrt(variance / kTrials)) << rate;
    // The kurtosis of the Beta law is below 9 at these parameters.
    EXPECT_NEAR(found.var().item<double>() / variance, 1, 4 * std::sqrt(8.0 / kTrials)) << rate;
  }
}

TEST(Conformal, UniformityIsKolmogorovsLaw) {
  // Quantiles of the limit law: P(K ≥ 1.3581) = 0.05, P(K ≥ 1.6276) = 0.01.
  const std::int64_t n = 4000;
  const double size = std::sqrt(static_cast<double>(n));
  for (const auto& [quantile, level] : {std::pair(1.3581, 0.05), std::pair(1.6276, 0.01)}) {
    const double distance = quantile / (size + 0.12 + 0.11 / size);
    const Tensor centred = (torch::arange(n, torch::kDouble) + 0.5) / static_cast<double>(n);
    const Tensor moved = centred.add(distance - 0.5 / static_cast<double>(n)).clamp(0, 1);
    EXPECT_NEAR(uniformity_p_value(moved), level, 2e-4);
  }
  EXPECT_LT(uniformity_p_value(Rng(1, "u").uniform({500}, torch::kDouble).square()), 1e-6);
  // One law behind held-out and fresh energies: the p value itself is uniform, of mean 1/2.
  std::vector<double> found;
  for (std::uint64_t t = 0; t < 300; ++t) {
    Rng own = Rng(3, "shared").at_step(t);
    const ConformalTest test(own.normal({400}, torch::kDouble));
    found.push_back(uniformity_p_value(test.p_values(own.normal({600}, torch::kDouble)), 400));
  }
  EXPECT_NEAR(torch::tensor(found).mean().item<double>(), 0.5, 4 * std::sqrt(1.0 / 12 / 300));
}

}  // namespace
}  // namespace gibbsite
