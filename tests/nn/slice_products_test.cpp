#include <gibbsite/core/random.h>
#include <gibbsite/nn/slice_products.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <limits>
#include <tuple>

namespace gibbsite {
namespace {

constexpr std::int64_t kBatch = 3;

// [slices · 3, channels, 5, 7]: pixels and channels are no multiples of what kernels take at once.
Tensor images(Rng& rng, std::int64_t slices, std::int64_t channels, at::ScalarType dtype, at::MemoryFormat format) {
  return rng.normal({slices * kBatch, channels, 5, 7}, at::kDouble).to(dtype).contiguous(format);
}

Tensor five(const Tensor& x) { return x.reshape({-1, kBatch, x.size(1), x.size(2), x.size(3)}).to(at::kDouble); }

// The definitions, in LibTorch's operations.
Tensor plain_combination(const Tensor& x, const Tensor& weight) {
  const std::int64_t inputs = weight.size(1) - 1;
  const Tensor sums = at::einsum("ijbc,jbchw->ibchw", {weight.narrow(1, 0, inputs), five(x)});
  return (sums + weight.select(1, inputs).unsqueeze(-1).unsqueeze(-1)).flatten(0, 1);
}

Tensor plain_products(const Tensor& a, const Tensor& b) {
  return at::cat({at::einsum("ibchw,jbchw->ijbc", {five(a), five(b)}), five(a).sum({3, 4}).unsqueeze(1)}, 1);
}

double distance(const Tensor& a, const Tensor& b) { return (a - b).abs().max().item<double>(); }

using Case = std::tuple<at::ScalarType, at::MemoryFormat, std::int64_t>;

class Layouts : public testing::TestWithParam<Case> {};

TEST_P(Layouts, AreTheirDefinitions) {
  const auto [dtype, format, channels] = GetParam();
  Rng rng(1, "slices");
  for (const auto& [in, out] : {std::pair{1, 1}, {2, 2}, {3, 2}, {2, 3}}) {
    const Tensor x = images(rng, in, channels, dtype, format), g = images(rng, out, channels, dtype, format);
    const Tensor weight = rng.normal({out, in + 1, kBatch, channels}, at::kDouble);
    const Tensor y = combine_slices(x, weight);
    EXPECT_EQ(y.scalar_type(), dtype);
    EXPECT_TRUE(y.is_contiguous(format));
    const double rounding = dtype == at::kDouble ? 1e-14 : dtype == at::kFloat ? 2e-6 : 1e-2;
    EXPECT_LE(distance(y.to(at::kDouble), plain_combination(x, weight)), 8 * rounding);
    const Tensor products = slice_products(g, x, kBatch);
    EXPECT_EQ(products.scalar_type(), at::kDouble);
    // Exact products, so that float32 has the error of double precision. (bfloat16 goes through LibTorch's operations.)
    EXPECT_LE(distance(products, plain_products(g, x)), 1e-12);
  }
}

INSTANTIATE_TEST_SUITE_P(SliceProducts, Layouts,
                         testing::Combine(testing::Values(at::kFloat, at::kDouble, at::kBFloat16),
                                          testing::Values(at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast),
                                          testing::Values(2, 16, 19)));

TEST(SliceProducts, LeaveOutWhatHasNoWeight) {
  Rng rng(3, "slices");
  Tensor x = images(rng, 2, 4, at::kFloat, at::MemoryFormat::ChannelsLast);
  x.narrow(0, kBatch, kBatch).fill_(std::numeric_limits<float>::infinity());
  Tensor weight = at::ones({1, 3, kBatch, 4}, at::kDouble);
  weight.select(1, 1).zero_();
  EXPECT_TRUE(combine_slices(x, weight).isfinite().all().item<bool>());
}

// Three derivatives of a function of both operations, beside the same function of the definitions.
TEST(SliceProductsGradients, OfThreeOrdersEqualThoseOfTheDefinitions) {
  for (const at::MemoryFormat format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
    Rng rng(2, "slices");
    const Tensor x = images(rng, 2, 4, at::kDouble, format).requires_grad_();
    const Tensor weight = rng.normal({2, 3, kBatch, 4}, at::kDouble).requires_grad_();
    const Tensor v = images(rng, 2, 4, at::kDouble, format), u = rng.normal({2, 3, kBatch, 4}, at::kDouble);
    const auto derivatives = [&](bool plain) {
      const Tensor y = plain ? plain_combination(x, weight) : combine_slices(x, weight);
      const Tensor products = plain ? plain_products(y, x) : slice_products(y, x, kBatch);
      Tensor value = products.tanh().sum();
      std::vector<Tensor> made;
      for (int order = 1; order <= 3; ++order) {
        const auto gradient = torch::autograd::grad({value}, {x, weight}, {}, true, /*create_graph=*/true);
        made.insert(made.end(), gradient.begin(), gradient.end());
        value = (gradient[0] * v).sum() + (gradient[1] * u).sum();
      }
      return made;
    };
    const std::vector<Tensor> ours = derivatives(false), theirs = derivatives(true);
    for (std::size_t i = 0; i < ours.size(); ++i)
      EXPECT_LE(distance(ours[i], theirs[i]), 1e-11 * theirs[i].abs().max().item<double>());
  }
}

}  // namespace
}  // namespace gibbsite
