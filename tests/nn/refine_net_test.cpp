#include <gibbsite/nn/channel_norms.h>
#include <gibbsite/nn/refine_net.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

// The formula written out, one image and channel at a time.
TEST(ConditionalInstanceNorm, IsTheFormulaWrittenOut) {
  const std::int64_t images = 2, channels = 3, height = 4, width = 2;
  Rng rng(1, "norm");
  const Tensor x = rng.normal({images, channels, height, width}, at::kDouble);
  const Tensor gamma = rng.normal({images, channels, 1, 1}, at::kDouble);
  const Tensor alpha = rng.normal({images, channels, 1, 1}, at::kDouble);
  const Tensor beta = rng.normal({images, channels, 1, 1}, at::kDouble);
  const Tensor y = conditional_instance_norm(x, gamma, alpha, beta);
  const Tensor stock = conditional_instance_norm(Stock{x}, gamma, alpha, beta).t;
  EXPECT_LE((y - stock).abs().max().item<double>(), 1e-12);
  for (std::int64_t b = 0; b < images; ++b) {
    std::vector<double> mean(channels, 0), variance(channels, 0);
    double centre = 0, spread = 0;
    const auto value = [&](std::int64_t c, std::int64_t i, std::int64_t j) { return x[b][c][i][j].item<double>(); };
    for (std::int64_t c = 0; c < channels; ++c) {
      for (std::int64_t i = 0; i < height; ++i)
        for (std::int64_t j = 0; j < width; ++j) mean[c] += value(c, i, j) / (height * width);
      for (std::int64_t i = 0; i < height; ++i)
        for (std::int64_t j = 0; j < width; ++j)
          variance[c] += std::pow(value(c, i, j) - mean[c], 2) / (height * width);
      centre += mean[c] / channels;
    }
    for (std::int64_t c = 0; c < channels; ++c) spread += std::pow(mean[c] - centre, 2) / (channels - 1);
    for (std::int64_t c = 0; c < channels; ++c) {
      const double between = (mean[c] - centre) / std::sqrt(spread + 1e-5);
      const auto at = [&](const Tensor& t) { return t[b][c].item<double>(); };
      for (std::int64_t i = 0; i < height; ++i)
        for (std::int64_t j = 0; j < width; ++j) {
          const double inside = (value(c, i, j) - mean[c]) / std::sqrt(variance[c] + 1e-5);
          const double expected = at(gamma) * (inside + at(alpha) * between) + at(beta);
          EXPECT_NEAR(y[b][c][i][j].item<double>(), expected, 1e-12);
        }
    }
  }
}

// A plain reverse pass of orders 0 and 1 is written out by hand; a pass that is to be differentiated goes through elementary
// operations, and so does order 2, whose slices 0 and 1 are the jet of order 1.
TEST(ConditionalInstanceNorm, ReversePassesEqualThoseOfElementaryOperations) {
  const std::int64_t images = 3, channels = 5;
  Rng rng(2, "norm");
  const Tensor x = rng.normal({images, channels, 4, 3}, at::kDouble).requires_grad_();
  const Tensor v = rng.normal({images, channels, 4, 3}, at::kDouble).requires_grad_();
  const auto weight = [&] { return rng.normal({images, channels, 1, 1}, at::kDouble).requires_grad_(); };
  const Tensor gamma = weight(), alpha = weight(), beta = weight();
  const std::vector<Tensor> inputs = {x, v, gamma, alpha, beta};
  const Tensor g = rng.normal({2 * images, channels, 4, 3}, at::kDouble);
  const auto gradients = [&](std::int64_t order, std::int64_t slices, bool differentiable) {
    const Jet jet = order == 0 ? Jet{x, 0, 1} : seed_jet(x, v, order);
    const Jet y = conditional_instance_norm(jet, gamma, alpha, beta);
    const Tensor value = (y.c.narrow(0, 0, slices * images) * g.narrow(0, 0, slices * images)).sum();
    return torch::autograd::grad({value}, inputs, {}, true, differentiable, /*allow_unused=*/order == 0);
  };
  for (std::int64_t order = 0; order <= 1; ++order) {
    const auto plain = gradients(order, order + 1, false), differentiable = gradients(order, order + 1, true),
               longer = gradients(2, order + 1, false);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (order == 0 && i == 1) continue;  // no direction
      EXPECT_GT(plain[i].abs().max().item<double>(), 0.1);
      EXPECT_LE((plain[i] - differentiable[i]).abs().max().item<double>(), 1e-12) << order << " " << i;
      EXPECT_LE((plain[i] - longer[i]).abs().max().item<double>(), 1e-12) << order << " " << i;
    }
  }
}

TEST(ConditionalInstanceNorm, TakesWhatIsUnusual) {
  Rng rng(4, "norm");
  const Tensor x = rng.normal({3, 4, 7, 7}, at::kDouble), gamma = rng.normal({3, 4, 1, 1}, at::kDouble);
  const Tensor alpha = rng.normal({1, 4, 1, 1}, at::kDouble), beta = rng.normal({1, 4, 1, 1}, at::kDouble);
  const Tensor broadcast = conditional_instance_norm(x, gamma, alpha, beta),
               whole = conditional_instance_norm(x, gamma, alpha.expand_as(gamma), beta.expand_as(gamma));
  EXPECT_TRUE(at::equal(broadcast, whole));
  EXPECT_LE((broadcast - conditional_instance_norm(Stock{x}, gamma, alpha, beta).t).abs().max().item<double>(), 1e-12);
  const Tensor none = x.narrow(0, 0, 0);
  EXPECT_EQ(conditional_instance_norm(none, gamma.narrow(0, 0, 0), alpha, beta).sizes(), none.sizes());
  EXPECT_EQ(instance_norm(none, Tensor(), Tensor()).sizes(), none.sizes());
  // Pixels that are all alike and large: the variance is a difference of rounding errors.
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble})
    for (const double level : {1e3, 1e5 / 3, 3e5}) {
      const Tensor flat = at::full({1, 2, 7, 7}, level, dtype).requires_grad_();
      const Tensor one = at::ones({1, 2, 1, 1}, dtype);
      const Tensor y = conditional_instance_norm(flat, one, one, one);
      EXPECT_TRUE(y.isfinite().all().item<bool>()) << level;
      EXPECT_TRUE(torch::autograd::grad({y.sum()}, {flat})[0].isfinite().all().item<bool>()) << level;
      EXPECT_TRUE(instance_norm(flat, Tensor(), Tensor()).isfinite().all().item<bool>()) << level;
    }
}

struct Net {
  explicit Net(const RefineShape& shape, at::ScalarType dtype = at::kDouble)
      : parameters(Rng(3, "init"), dtype, at::kCPU), net(parameters, "net", shape) {}
  std::int64_t count() const {
    std::int64_t n = 0;
    for (const Tensor& p : parameters.module().parameters()) n += p.numel();
    return n;
  }
  Parameters parameters;
  RefineNet net;
};

RefineShape small() {
  RefineShape shape;
  shape.channels = 2;
  shape.filters = 3;
  shape.classes = 4;
  shape.activation = Activation::kSoftplus;
  return shape;
}

TEST(RefineNet, HasTheParametersOfTheSheet) {
  RefineShape shape;
  shape.channels = 3;
  shape.filters = 32;
  EXPECT_EQ(Net(shape, at::kFloat).count(), 1966019);
  shape.filters = 128;
  EXPECT_EQ(Net(shape, at::kFloat).count(), 30117635);
}

TEST(RefineNet, KeepsExamplesApartAndReadsTheirClass) {
  const Net net(small());
  const Tensor x = Rng(4, "x").normal({3, 2, 8, 12}, at::kDouble);
  const Tensor labels = torch::tensor({0, 3, 1}, at::kLong);
  const Tensor y = net.net.forward(x, labels);
  EXPECT_EQ(y.sizes(), x.sizes());
  const Tensor alone = net.net.forward(x.narrow(0, 1, 1), labels.narrow(0, 1, 1));
  EXPECT_LE((y.narrow(0, 1, 1) - alone).abs().max().item<double>(), 1e-12);
  const Tensor other = net.net.forward(x, torch::tensor({0, 2, 1}, at::kLong));
  EXPECT_LE((y[0] - other[0]).abs().max().item<double>(), 1e-12);
  EXPECT_GT((y[1] - other[1]).abs().max().item<double>(), 1e-4);
  const Tensor stock = net.net.forward(Stock{x}, labels).t;
  EXPECT_LE((y - stock).abs().max().item<double>(), 1e-11);
}

// The Jacobian along v by two nested reverse passes through LibTorch's own operations, and the second derivative by one
// more.
TEST(RefineNet, JetsEqualNestedAutograd) {
  const Net net(small());
  const Tensor x = Rng(4, "x").normal({2, 2, 8, 8}, at::kDouble), v = Rng(5, "v").normal({2, 2, 8, 8}, at::kDouble);
  const Tensor w = Rng(6, "w").normal({2, 2, 8, 8}, at::kDouble), labels = torch::tensor({2, 0}, at::kLong);
  const Jet jet = net.net.forward(seed_jet(x, v, 2), labels);
  const Tensor point = x.clone().requires_grad_(true);
  Tensor f = (net.net.forward(Stock{point}, labels).t * w).sum();
  for (std::int64_t order = 0; order <= 2; ++order) {
    const double truth = f.item<double>(), by_jet = (jet.derivative(order) * w).sum().item<double>();
    EXPECT_NEAR(by_jet, truth, 1e-9 * std::abs(truth)) << order;
    // LibTorch's own instance norm is wrong from the third derivative on.
    if (order < 2) f = (torch::autograd::grad({f}, {point}, {}, true, true)[0] * v).sum();
  }
}

// Parameter gradients of the first derivative: what a jet form of sliced score matching trains with.
TEST(RefineNet, ParameterGradientsOfJetsEqualNestedAutograd) {
  const Net net(small());
  const Tensor x = Rng(4, "x").normal({2, 2, 4, 4}, at::kDouble), v = Rng(5, "v").normal({2, 2, 4, 4}, at::kDouble);
  const Tensor labels = torch::tensor({2, 0}, at::kLong);
  const std::vector<Tensor> parameters = net.parameters.module().parameters();
  const Jet jet = net.net.forward(seed_jet(x, v, 1), labels);
  const auto by_jet =
      torch::autograd::grad({(jet.slice(1) * v).sum() + jet.slice(0).square().sum()}, parameters, {}, {}, false, true);
  const Tensor point = x.clone().requires_grad_(true);
  const Tensor s = net.net.forward(point, labels);
  const Tensor along = torch::autograd::grad({(s * v).sum()}, {point}, {}, true, true)[0];
  const auto nested = torch::autograd::grad({(along * v).sum() + s.square().sum()}, parameters, {}, {}, false, true);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    ASSERT_EQ(by_jet[i].defined(), nested[i].defined());
    if (!by_jet[i].defined()) continue;
    EXPECT_LE((by_jet[i] - nested[i]).abs().max().item<double>(), 1e-9 * (1 + nested[i].abs().max().item<double>()))
        << i;
  }
}

}  // namespace
}  // namespace gibbsite
