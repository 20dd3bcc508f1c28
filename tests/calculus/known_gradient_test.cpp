#include <gibbsite/calculus/known_gradient.h>
#include <gibbsite/core/error.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

using torch::autograd::grad;

Tensor leaf(const std::vector<double>& values) { return torch::tensor(values, at::kDouble).requires_grad_(true); }

// x·y by its gradients y and x, inside a longer formula.
TEST(KnownGradient, TakesItsPlaceInAGraph) {
  const Tensor x = leaf({1, 2}), y = leaf({3, -1}), constant = torch::ones({2}, at::kDouble);
  const Tensor value = (x * y).sum().detach();
  const Tensor dot = known_gradient(value, {x, y, constant}, std::vector<Tensor>{y.detach(), x.detach(), constant});
  EXPECT_EQ(dot.item<double>(), 1);
  EXPECT_TRUE(at::equal(grad({dot}, {x}, {}, true)[0], y.detach()));
  const Tensor longer = 3 * dot + x.sum();
  EXPECT_TRUE(at::equal(grad({longer}, {x}, {}, true)[0], 3 * y.detach() + 1));
  EXPECT_TRUE(at::equal(grad({longer}, {y})[0], 3 * x.detach()));
}

// Rows x_b² by their pullback.
TEST(KnownGradient, PullsBackASeedOfEveryRow) {
  const Tensor x = leaf({1, 2, -3}), frozen = x.detach();
  const Tensor squares = known_gradient(
      frozen.square(), {x}, [frozen](const Tensor& seed) { return std::vector<Tensor>{2 * frozen * seed}; });
  const Tensor seed = torch::tensor({0.5, 1.0, 2.0}, at::kDouble);
  EXPECT_TRUE(at::equal(grad({squares}, {x}, {seed})[0], torch::tensor({1.0, 4.0, -12.0}, at::kDouble)));
}

TEST(KnownGradient, RefusesAGraphOfIt) {
  const Tensor x = leaf({1, 2});
  const Tensor y =
      known_gradient(torch::ones({}, at::kDouble), {x}, std::vector<Tensor>{torch::ones({2}, at::kDouble)});
  EXPECT_THROW(grad({y}, {x}, {}, true, /*create_graph=*/true), WorkError);
}

TEST(KnownGradient, HasNoGraphWhereNobodyWantsOne) {
  const Tensor one = torch::ones({}, at::kDouble), x = leaf({1});
  const std::vector<Tensor> gradients = {torch::ones({1}, at::kDouble)};
  EXPECT_FALSE(known_gradient(one, {x.detach()}, gradients).requires_grad());
  const torch::NoGradGuard no_grad;
  EXPECT_FALSE(known_gradient(one, {x}, gradients).requires_grad());
}

TEST(KnownGradient, OfASurrogateIsOfAnyOrder) {
  const Tensor x = leaf({1, 2}), value = torch::full({}, 7, at::kDouble);
  const Tensor y = with_gradient_of(x.pow(3).sum(), value);
  EXPECT_EQ(y.item<double>(), 7);
  EXPECT_FALSE(value.requires_grad());
  const Tensor slope = grad({y}, {x}, {}, true, true)[0];
  EXPECT_TRUE(at::allclose(slope, 3 * x.square()));
  EXPECT_TRUE(at::allclose(grad({slope.sum()}, {x})[0], 6 * x));
}

}  // namespace
}  // namespace gibbsite
