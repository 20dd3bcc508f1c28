#include <gibbsite/calculus/exponential_family.h>

#include "calculus/family_contract.h"

namespace gibbsite {
namespace {

struct Rule {
  Tensor z, weight;
};

Tensor row(std::initializer_list<double> values) {
  return torch::tensor(std::vector<double>(values), at::kDouble).unsqueeze(0);
}

// The trapezoidal rule in the plane or on the line, exact to rounding for what decays at its ends.
Rule grid(std::int64_t size, double low, double high, std::int64_t points) {
  const Tensor x = torch::linspace(low, high, points, at::kDouble);
  const double step = (high - low) / static_cast<double>(points - 1);
  if (size == 1) return {x.unsqueeze(1), torch::full({points}, step, at::kDouble)};
  const Tensor both = at::cartesian_prod({x, x});
  return {both, torch::full({both.size(0)}, step * step, at::kDouble)};
}

Rule points(const Tensor& z) { return {z, torch::ones({z.size(0)}, at::kDouble)}; }

TEST(ExponentialFamily, Gaussian) {
  const auto one = make_gaussian_family(1), two = make_gaussian_family(2);
  const Rule line = grid(1, -25, 25, 4001), plane = grid(2, -15, 15, 401);
  expect_family(*one, row({1.3, -0.4}), row({-0.5, -1.7}), line.z, line.weight, 1e-10);
  expect_family(*two, row({1.3, -0.4, -0.4, -0.9}), row({0, 0, -0.5, -0.5}), plane.z, plane.weight, 1e-10);
  // λ = (μ/σ², -1/(2σ²)).
  const Tensor natural = one->natural_of_free(row({0.7, std::log(2.0)}));
  EXPECT_TRUE(at::allclose(natural, row({0.7 / 4, -1.0 / 8}), 1e-12, 1e-12));
  EXPECT_NEAR(one->log_normaliser(row({0, -0.5})).item<double>(), 0, 1e-15);
}

TEST(ExponentialFamily, Normal) {
  const Rule plane = grid(2, -12, 12, 301);
  const auto family = make_normal_family(2);
  expect_family(*family, row({1.3, -0.4}), row({-0.5, 0.7}), plane.z, plane.weight, 1e-10);
  // Here B* of a statistic is finite, so Eq. 14 itself can be asked.
  const Tensor z = Rng(1, "z").normal({5, 2}, at::kDouble), mu = row({0.3, -1});
  EXPECT_TRUE(at::allclose(dual_divergence(*family, z, mu), 0.5 * (z - mu).square().sum(1), 1e-12, 1e-12));
}

TEST(ExponentialFamily, Bernoulli) {
  const Tensor bit = torch::tensor({0.0, 1.0}, at::kDouble);
  const Rule states = points(at::cartesian_prod({bit, bit, bit}));
  expect_family(*make_bernoulli_family(3), row({1.3, -0.4, 0.2}), row({-0.5, 0.7, 3}), states.z, states.weight, 1e-12);
}

TEST(ExponentialFamily, Categorical) {
  const Rule states = points(torch::eye(4, at::kDouble).narrow(1, 0, 3));
  expect_family(*make_categorical_family(3), row({1.3, -0.4, 0.2}), row({-0.5, 0.7, 2}), states.z, states.weight,
                1e-12);
}

TEST(ExponentialFamily, Dirichlet) {
  // z = 1/(1 + exp(-t)), dz = z(1 - z) dt, takes ends of the interval out of the way.
  const Rule line = grid(1, -60, 60, 6001);
  const Tensor z = line.z.sigmoid(), other = (-line.z).sigmoid();
  expect_family(*make_dirichlet_family(2), row({1.3, -0.4}), row({-0.5, 2}), at::cat({z, other}, 1),
                line.weight * (z * other).squeeze(1), 1e-9);
  // A stick broken twice: z1 = u, z2 = (1 - u) w, z3 = (1 - u)(1 - w).
  const Rule plane = grid(2, -40, 40, 601);
  const Tensor u = plane.z.select(1, 0).sigmoid(), rest = (-plane.z.select(1, 0)).sigmoid();
  const Tensor w = plane.z.select(1, 1).sigmoid(), last = (-plane.z.select(1, 1)).sigmoid();
  expect_family(*make_dirichlet_family(3), row({1.3, 0.4, 0.1}), row({0.5, 2, 0}),
                torch::stack({u, rest * w, rest * last}, 1), plane.weight * u * rest * rest * w * last, 1e-9);
}

}  // namespace
}  // namespace gibbsite
