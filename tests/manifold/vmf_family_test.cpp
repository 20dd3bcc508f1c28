#include <gibbsite/manifold/sphere.h>
#include <gibbsite/manifold/vmf_family.h>

#include "calculus/family_contract.h"

namespace gibbsite {
namespace {

TEST(ExponentialFamily, VonMisesFisher) {
  const Cubature circle = make_sphere({1})->cubature(400, 0), sphere = make_sphere({2})->cubature(200, 0);
  expect_family(*make_von_mises_fisher_family(2), torch::tensor({{1.3, -0.4}}, at::kDouble),
                torch::tensor({{-0.5, 2.0}}, at::kDouble), circle.points, circle.weights, 1e-10);
  expect_family(*make_von_mises_fisher_family(3), torch::tensor({{1.3, -0.4, 4.0}}, at::kDouble),
                torch::tensor({{-0.5, 2.0, 0.1}}, at::kDouble), sphere.points, sphere.weights, 1e-10);
}

}  // namespace
}  // namespace gibbsite
