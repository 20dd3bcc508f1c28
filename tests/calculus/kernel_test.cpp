#include <gibbsite/calculus/kernel.h>
#include <gibbsite/core/random.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

TEST(GaussianKernel, DerivativesEqualAutograd) {
  const Tensor x = torch::tensor({{0.3, -0.2, 1.0, 0.4}, {0.0, 0.5, -0.7, 0.1}}, at::kDouble).requires_grad_(true);
  const Tensor y = torch::tensor({{0.1, 0.4, 0.6, 0.0}, {0.0, 0.5, -0.7, 0.1}}, at::kDouble).requires_grad_(true);
  const double width = 0.8;
  const KernelPairs pairs = gaussian_kernel_pairs(x.detach().view({2, 2, 2}), y.detach().view({2, 2, 2}), width);
  const Tensor value = (-(x - y).square().sum(1) / (2 * width * width)).exp();
  EXPECT_TRUE(at::allclose(pairs.value, value, 1e-13));
  const Tensor gradient = torch::autograd::grad({value.sum()}, {x}, {}, true, true)[0];
  EXPECT_TRUE(at::allclose(pairs.gradient.flatten(1), gradient, 1e-13, 1e-14));
  Tensor trace = torch::zeros({2}, at::kDouble);
  for (std::int64_t i = 0; i < 4; ++i)
    trace = trace + torch::autograd::grad({gradient.select(1, i).sum()}, {y}, {}, true)[0].select(1, i);
  EXPECT_TRUE(at::allclose(pairs.trace, trace, 1e-12));
}

TEST(SquaredDistances, EqualDifferencesOfPairsWithTheirGradients) {
  const Tensor x = Rng(1, "x").normal({2, 5, 3}, at::kDouble).requires_grad_(true);
  const Tensor y = Rng(1, "y").normal({2, 4, 3}, at::kDouble).requires_grad_(true);
  const Tensor direct = (x.unsqueeze(2) - y.unsqueeze(1)).square().sum(-1), fast = squared_distances(x, y);
  EXPECT_TRUE(at::allclose(fast, direct, 1e-12, 1e-13));
  const Tensor seed = Rng(1, "seed").normal({2, 5, 4}, at::kDouble);
  const auto gradients = [&](const Tensor& of) { return torch::autograd::grad({(seed * of).sum()}, {x, y}); };
  const auto expected = gradients(direct), found = gradients(fast);
  for (std::size_t i = 0; i < 2; ++i) EXPECT_TRUE(at::allclose(found[i], expected[i], 1e-12, 1e-13));
}

TEST(SquaredDistances, KeepTheirDigitsFarFromTheOrigin) {
  // Multiples of 2^-8 up to 1 have float32 neighbours at 1000 too.
  const Tensor near = (Rng(1, "x").uniform({20, 2}, at::kDouble) * 256).round() / 256, far = near + 1000;
  const Tensor exact = squared_distances(near, near), single = far.to(at::kFloat);
  EXPECT_TRUE(at::allclose(squared_distances(single, single).to(at::kDouble), exact, 1e-4, 1e-5));
}

}  // namespace
}  // namespace gibbsite
