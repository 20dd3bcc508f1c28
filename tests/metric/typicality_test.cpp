#include <gibbsite/core/error.h>
#include <gibbsite/metric/typicality.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

TypicalityTest test_of(std::int64_t size, double training_energy) {
  TypicalityTest test;
  test.size = size;
  test.groups = 4000;
  test.training_energy = training_energy;
  return test;
}

double normal_cdf(double z) { return 0.5 * std::erfc(-z / std::sqrt(2.0)); }

// Energies N(0, 1) inside and N(shift, 1) outside: group means have deviation 1/√M, and P(|Z + s| > |Z'|) of independent
// standard normals is worked out from the independent Z + s ± Z'.
double closed_form(double shift) {
  const double p = normal_cdf(shift / std::sqrt(2.0));
  return p * p + (1 - p) * (1 - p);
}

TEST(Typicality, AgreesWithTheClosedFormForGaussianEnergies) {
  const Tensor in = Rng(1, "in").normal({200000}, at::kDouble), out = Rng(2, "out").normal({200000}, at::kDouble) + 0.6;
  for (const std::int64_t size : {1, 2, 5, 10}) {
    const Estimate found = typicality_auroc(in, out, test_of(size, 0), Rng(3, "typicality"));
    EXPECT_NEAR(found.value, closed_form(0.6 * std::sqrt(static_cast<double>(size))), 4 * found.standard_error) << size;
    EXPECT_LE(found.standard_error, 0.01);
  }
}

TEST(Typicality, CannotTellASetFromItself) {
  const Tensor in = Rng(1, "in").normal({5000}, at::kDouble).square();
  for (const std::int64_t size : {1, 2, 5, 10}) {
    const Estimate found = typicality_auroc(in, in, test_of(size, 1), Rng(4, "typicality"));
    EXPECT_NEAR(found.value, 0.5, 3.5 * found.standard_error) << size;
    EXPECT_GT(found.standard_error, 0.001);
  }
}

TEST(Typicality, DistanceIsThatOfTheGroupMean) {
  Rng rng(5, "typicality"), same(5, "typicality");
  const Tensor energy = torch::tensor({1.0, 2.0, 4.0, 8.0}, at::kDouble);
  TypicalityTest test = test_of(3, 2.5);
  test.groups = 5;
  const Tensor distance = typicality_distances(energy, test, rng), pick = same.integers({5, 3}, 4);
  for (std::int64_t g = 0; g < 5; ++g) {
    double mean = 0;
    for (std::int64_t i = 0; i < 3; ++i) mean += std::pow(2.0, pick[g][i].item<double>()) / 3;
    EXPECT_NEAR(distance[g].item<double>(), std::abs(mean - 2.5), 1e-12);
  }
  EXPECT_THROW(typicality_distances(torch::empty({0}), test, rng), WorkError);
}

}  // namespace
}  // namespace gibbsite
