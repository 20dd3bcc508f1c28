#include <gibbsite/core/error.h>
#include <gibbsite/objective/information.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

#include "objective/objective_helpers.h"

namespace gibbsite {
namespace {

// Bhattacharyya coefficients of bits by enumeration; the bound below the information, which for a batch's own law is a sum too.
TEST(InformationBound, BitsByEnumeration) {
  const auto family = make_bernoulli_family(3);
  const Tensor natural = 2 * Rng(1, "natural").normal({6, 3}, at::kDouble);
  const Tensor bit = torch::tensor({0.0, 1.0}, at::kDouble), z = at::cartesian_prod({bit, bit, bit});
  const Tensor p = log_density(*family, z.unsqueeze(1), natural).exp();  // [8, 6]
  const Tensor overlap = (p.unsqueeze(2) * p.unsqueeze(1)).sqrt().sum(0);
  const double truth = -(overlap.mean(1).log()).mean().item<double>();
  const double found = information_bound(*family, natural).item<double>();
  EXPECT_NEAR(found, truth, 1e-12);
  const double information = (p * (p / p.mean(1, true)).log()).sum(0).mean().item<double>();
  EXPECT_LT(found, information);
  EXPECT_GT(found, 0.3 * information);
}

// Of Gaussians the coefficient is a closed form; equal posteriors say nothing, far ones tell log N points apart.
TEST(InformationBound, GaussiansInClosedForm) {
  const auto family = make_gaussian_family(2);
  const Tensor free = Rng(1, "free").normal({5, 4}, at::kDouble), natural = family->natural_of_free(free);
  const Tensor m = free.narrow(1, 0, 2), v = (2 * free.narrow(1, 2, 2)).exp();
  const Tensor sum = v.unsqueeze(0) + v.unsqueeze(1), apart = (m.unsqueeze(0) - m.unsqueeze(1)).square();
  const Tensor distance =
      (0.25 * apart / sum + 0.5 * (0.5 * sum / (v.unsqueeze(0) * v.unsqueeze(1)).sqrt()).log()).sum(2);
  const double truth = -((-distance).exp().mean(1).log()).mean().item<double>();
  EXPECT_NEAR(information_bound(*family, natural).item<double>(), truth, 1e-12);
  EXPECT_NEAR(information_bound(*family, natural.narrow(0, 0, 1).expand({7, 4})).item<double>(), 0, 1e-12);
  const Tensor far = family->natural_of_free(at::cat({100 * m, torch::zeros_like(m)}, 1));
  EXPECT_NEAR(information_bound(*family, far).item<double>(), std::log(5.0), 1e-12);
  EXPECT_THROW(information_bound(*family, natural.narrow(0, 0, 1)), RequestError);
}

}  // namespace
}  // namespace gibbsite
