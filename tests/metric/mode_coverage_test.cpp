#include <gibbsite/core/error.h>
#include <gibbsite/core/random.h>
#include <gibbsite/metric/mode_coverage.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>
#include <vector>

namespace gibbsite {
namespace {

TEST(ModeCoverage, CountsAndDivergenceWorkedByHand) {
  // Shares 1/2, 1/4, 1/4, 0 from uniform over four: log 4 - 1.5 log 2.
  const ModeCoverage found = mode_coverage(torch::tensor({0, 0, 1, 2}, torch::kLong), 4);
  EXPECT_EQ(found.modes, 3);
  EXPECT_NEAR(found.divergence.value, std::log(4.0) - 1.5 * std::log(2.0), 1e-12);
  const ModeCoverage same =
      mode_coverage(torch::tensor({0, 0, 1, 2}, torch::kLong), 4, torch::tensor({.5, .25, .25, 0.}, torch::kDouble));
  EXPECT_NEAR(same.divergence.value, 0, 1e-12);
  EXPECT_NEAR(same.divergence.standard_error, 0, 1e-9);
}

TEST(ModeCoverage, StandardErrorIsTheSpreadOverSamples) {
  const Tensor law = torch::tensor({.5, .3, .1, .06, .04}, torch::kDouble), sums = law.cumsum(0);
  std::vector<double> values;
  double claimed = 0;
  constexpr int kRepeats = 400;
  for (int k = 0; k < kRepeats; ++k) {
    Rng rng(static_cast<std::uint64_t>(k), "modes");
    const Tensor kind = torch::searchsorted(sums, rng.uniform({2000}, torch::kDouble)).clamp_max(4);
    const ModeCoverage found = mode_coverage(kind, 5);
    values.push_back(found.divergence.value);
    claimed += found.divergence.standard_error / kRepeats;
  }
  const Tensor all = torch::tensor(values, torch::kDouble);
  // The deviation of 400 deviates by 3.5 % of itself.
  EXPECT_NEAR(claimed / all.std().item<double>(), 1, 0.12);
}

TEST(ModeCoverage, RefusesNoSamplesAndKindsThatThereAreNot) {
  EXPECT_THROW(mode_coverage(torch::zeros({0}, torch::kLong), 3), WorkError);
  EXPECT_THROW(mode_coverage(torch::tensor({3}, torch::kLong), 3), WorkError);
}

}  // namespace
}  // namespace gibbsite
