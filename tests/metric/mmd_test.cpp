#include <gibbsite/core/error.h>
#include <gibbsite/metric/mmd.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {
namespace {

TEST(Mmd, EqualsTheSumOverPairs) {
  Rng rng(1, "test");
  const Tensor x = rng.normal({7, 3}, at::kDouble), y = rng.normal({5, 3}, at::kDouble) + 0.5;
  MmdSettings settings;
  settings.bandwidth = 1.3;
  settings.permutations = 5;
  const auto kernel = [](const Tensor& a, const Tensor& b) {
    return std::exp(-(a - b).square().sum().item<double>() / (2 * 1.3 * 1.3));
  };
  double xx = 0, yy = 0, xy = 0;
  for (int i = 0; i < 7; ++i) {
    for (int j = 0; j < 7; ++j) xx += i == j ? 0 : kernel(x[i], x[j]) / 42;
    for (int j = 0; j < 5; ++j) xy += kernel(x[i], y[j]) / 35;
  }
  for (int i = 0; i < 5; ++i) {
    for (int j = 0; j < 5; ++j) yy += i == j ? 0 : kernel(y[i], y[j]) / 20;
  }
  const Mmd result = mmd(x, y, rng.stream("mmd"), settings);
  EXPECT_NEAR(result.squared.value, xx + yy - 2 * xy, 1e-12);
  EXPECT_EQ(result.bandwidth, 1.3);
}

TEST(Mmd, MedianBandwidth) {
  // Distances of 0, 1, 3: 1, 2, 3 (and one point twice is not allowed to make it zero).
  const Tensor x = at::tensor({0.0, 1.0}, at::kDouble).view({2, 1}),
               y = at::tensor({3.0, 3.0}, at::kDouble).view({2, 1});
  // Pairs: 1, 3, 3, 2, 2, 0; the lower median is 2.
  EXPECT_NEAR(mmd(x, y, Rng(0, "m")).bandwidth, 2, 1e-12);
}

TEST(Mmd, PValuesAreUniformUnderTheNullAndSmallUnderAShift) {
  Rng rng(11, "test");
  MmdSettings settings;
  settings.permutations = 99;
  const int repeats = 300;
  std::vector<double> p_values;
  int found = 0;
  for (int r = 0; r < repeats; ++r) {
    const Tensor x = rng.normal({40, 2}, at::kDouble), y = rng.normal({30, 2}, at::kDouble);
    p_values.push_back(mmd(x, y, rng.stream("null").at_step(r), settings).p_value);
    found += mmd(x, y + 0.8, rng.stream("shift").at_step(r), settings).p_value <= 0.05;
  }
  // Kolmogorov-Smirnov at 1e-4: 2.2 / sqrt(n), plus the step of the p values.
  std::sort(p_values.begin(), p_values.end());
  double largest = 0;
  for (int r = 0; r < repeats; ++r) largest = std::max(largest, std::abs(p_values[r] - (r + 0.5) / repeats));
  EXPECT_LT(largest, 2.2 / std::sqrt(repeats) + 0.01);
  EXPECT_GT(found, 0.8 * repeats);
}

TEST(Mmd, StandardErrorMatchesRepetitionUnderAnAlternative) {
  Rng rng(13, "test");
  MmdSettings settings;
  settings.permutations = 20;
  settings.bandwidth = 1;
  double sum = 0, squares = 0, reported = 0;
  const int repeats = 400;
  for (int r = 0; r < repeats; ++r) {
    const Mmd result = mmd(rng.normal({60, 1}, at::kDouble), rng.normal({60, 1}, at::kDouble) + 1.5,
                           rng.stream("m").at_step(r), settings);
    sum += result.squared.value;
    squares += result.squared.value * result.squared.value;
    reported += result.squared.standard_error * result.squared.standard_error;
  }
  const double mean = sum / repeats, deviation = std::sqrt(squares / repeats - mean * mean);
  EXPECT_NEAR(std::sqrt(reported / repeats) / deviation, 1, 0.2);
}

TEST(Mmd, UsesAtMostTheAskedPointsAndRepeatsFromTheSeed) {
  Rng rng(2, "test");
  const Tensor x = rng.normal({300, 2}), y = rng.normal({200, 2});
  MmdSettings settings;
  settings.points = 100;
  const Mmd a = mmd(x, y, rng, settings), b = mmd(x, y, rng, settings);
  EXPECT_EQ(a.squared.count, 200);
  EXPECT_EQ(a.squared.value, b.squared.value);
  EXPECT_EQ(a.p_value, b.p_value);
  EXPECT_THROW(mmd(x.narrow(0, 0, 1), y, rng), WorkError);
  EXPECT_THROW(mmd(x, rng.normal({20, 3}), rng), RequestError);
}

}  // namespace
}  // namespace gibbsite
