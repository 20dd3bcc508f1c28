#include <gibbsite/calculus/kernel.h>
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

}  // namespace
}  // namespace gibbsite
