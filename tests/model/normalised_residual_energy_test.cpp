#include <gibbsite/core/error.h>
#include <gibbsite/model/normalised_residual_energy.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

ModelContext context_for(const Shape& event, at::ScalarType dtype = at::kDouble) {
  ModelContext context;
  context.event = event;
  context.init = Rng(3, "init");
  context.dtype = dtype;
  return context;
}

std::int64_t parameters(Energy& energy) {
  std::int64_t sum = 0;
  for (const Tensor& p : energy.module().parameters()) sum += p.numel();
  return sum;
}

NormalisedResidualOptions network(std::int64_t stem, std::vector<std::int64_t> blocks,
                                  std::vector<std::int64_t> halve) {
  NormalisedResidualOptions options;
  options.stem = stem;
  options.blocks = std::move(blocks);
  options.halve = std::move(halve);
  return options;
}

// Protocol sheet 4.2 and 10.1: 42 881 exactly; 5.14, 4.34, 5.81, 14.2 and 0.68 million.
TEST(NormalisedResidualEnergy, HasTheSizesOfTable7) {
  const auto count = [](const NormalisedResidualOptions& options, const Shape& event) {
    return static_cast<double>(parameters(*make_normalised_residual_energy(options, context_for(event, at::kFloat)))) /
           1e6;
  };
  EXPECT_DOUBLE_EQ(count(network(16, {16, 16, 32, 32}, {1, 3}), {1, 28, 28}), 0.042881);
  EXPECT_NEAR(count({}, {3, 32, 32}), 5.14, 0.005);
  EXPECT_NEAR(count(network(64, {64, 64, 128, 128, 128, 256, 256, 256}, {1, 3, 5, 7}), {3, 64, 64}), 4.34, 0.005);
  EXPECT_NEAR(count(network(64, {64, 64, 128, 128, 128, 128, 256, 256, 256, 256}, {1, 3, 6, 9}), {3, 64, 64}), 5.81,
              0.005);
  EXPECT_NEAR(count(network(64, {64, 64, 128, 128, 128, 128, 256, 256, 256, 256, 512, 512}, {1, 3, 5, 7, 9, 11}),
                    {3, 256, 256}),
              14.2, 0.05);
  EXPECT_NEAR(count(network(64, {64, 64, 128, 128}, {1, 3}), {3, 32, 32}), 0.68, 0.005);
}

// The same network by LibTorch's functions, weights normalised by hand.
TEST(NormalisedResidualEnergy, EqualsTheNetworkWrittenOut) {
  auto energy = make_normalised_residual_energy(network(2, {3, 3}, {2}), context_for({1, 6, 6}));
  const auto named = energy->module().named_parameters();
  const Tensor x = Rng(1, "x").normal({4, 1, 6, 6}, torch::kDouble);
  const auto conv = [&](const Tensor& h, const std::string& name, bool bias) {
    const Tensor v = named[name + "_direction"], norm = v.flatten(1).norm(2, 1);
    const Tensor w = v / (norm + 1e-5).view({-1, 1, 1, 1}) * named[name + "_log_norm"].exp().view({-1, 1, 1, 1});
    return at::conv2d(h, w, bias ? named[name + "_bias"] : Tensor(), 1, v.size(2) / 2);
  };
  const auto phi = [](const Tensor& h) { return h * h.sigmoid() / 1.1; };
  Tensor h = phi(conv(x, "stem", true));
  h = phi(conv(phi(conv(h, "block1_first", true)), "block1_second", true) + conv(h, "block1_shortcut", false));
  h = phi(at::avg_pool2d(
      conv(phi(conv(h, "block2_first", true)), "block2_second", true) + conv(h, "block2_shortcut", false), 2));
  const Tensor expected = (h.sum({2, 3}).mm(named["head_weight"].t()) + named["head_bias"]).squeeze(1);
  EXPECT_TRUE(torch::allclose(energy->energy(x), expected, 1e-10, 1e-12));
  NormalisedResidualOptions halved = network(2, {3, 3}, {2});
  halved.halve_range = true;
  EXPECT_TRUE(torch::allclose(make_normalised_residual_energy(halved, context_for({1, 6, 6}))->energy(2 * x - 1),
                              expected, 1e-10, 1e-12));
}

// With the same weights, and second derivatives of jets against nested autograd.
TEST(NormalisedResidualEnergy, MayBeASoftplusOrASquare) {
  const Tensor v = Rng(2, "v").normal({4, 1, 6, 6}, torch::kDouble);
  Tensor x = Rng(1, "x").normal({4, 1, 6, 6}, torch::kDouble).set_requires_grad(true);
  NormalisedResidualOptions options = network(2, {3, 3}, {2});
  const Tensor linear = make_normalised_residual_energy(options, context_for({1, 6, 6}))->energy(x);
  for (const char* kind : {"softplus", "square"}) {
    options.head = kind;
    const auto made = make_normalised_residual_energy(options, context_for({1, 6, 6}));
    const Tensor energy = made->energy(x);
    EXPECT_TRUE(
        torch::allclose(energy, options.head == "square" ? linear * linear : (1 + linear.exp()).log(), 1e-12, 1e-12));
    const Tensor first = (torch::autograd::grad({energy.sum()}, {x}, {}, true, true)[0] * v).sum({1, 2, 3});
    const Tensor second = (torch::autograd::grad({first.sum()}, {x})[0] * v).sum({1, 2, 3});
    const Jet jet = *made->energy(seed_jet(x.detach(), v, 2));
    EXPECT_TRUE(torch::allclose(jet.derivative(1), first, 1e-9, 1e-12)) << kind;
    EXPECT_TRUE(torch::allclose(jet.derivative(2), second, 1e-9, 1e-12)) << kind;
  }
}

// Pre-activations of the stem on the rows of the initialisation: mean 0 and deviation 0.2 in every channel.
TEST(NormalisedResidualEnergy, FirstWeightsAreScaledOnData) {
  ModelContext context = context_for({1, 8, 8});
  const Tensor rows = Rng(1, "rows").normal({50, 1, 8, 8}, torch::kDouble) * 3 + 1;
  std::int64_t asked = 0;
  context.examples = [&](std::int64_t n) { return asked = n, rows; };
  NormalisedResidualOptions options = network(4, {4, 4}, {1});
  auto energy = make_normalised_residual_energy(options, context);
  EXPECT_EQ(asked, 160);
  const auto named = energy->module().named_parameters();
  const auto normalised = [&](const std::string& name) {
    const Tensor v = named[name + "_direction"];
    return v / (v.flatten(1).norm(2, 1) + 1e-5).view({-1, 1, 1, 1}) *
           named[name + "_log_norm"].exp().view({-1, 1, 1, 1});
  };
  const Tensor stem = at::conv2d(rows, normalised("stem"), named["stem_bias"], 1, 1);
  const Tensor inner =
      at::conv2d(stem * stem.sigmoid() / 1.1, normalised("block1_first"), named["block1_first_bias"], 1, 1);
  for (const Tensor& y : {stem, inner}) {
    EXPECT_LT(y.mean({0, 2, 3}).abs().max().item<double>(), 1e-3);
    EXPECT_LT((y.std(at::IntArrayRef{0, 2, 3}) - 0.2).abs().max().item<double>(), 1e-4);
  }
  // Without data, or asked not to, the weights are as drawn: exp(g) is the norm of V and 0.01.
  options.initial_rows = 0;
  const auto plain = make_normalised_residual_energy(options, context)->module().named_parameters();
  EXPECT_TRUE(torch::allclose(plain["stem_log_norm"].exp(), plain["stem_direction"].flatten(1).norm(2, 1) + 0.01, 1e-12,
                              1e-12));
}

// The sum of largest singular values, and its gradient by finite differences of the exact ones.
TEST(NormalisedResidualEnergy, SpectralNormsAreTheLargestSingularValues) {
  auto energy = make_normalised_residual_energy(network(3, {4}, {1}), context_for({2, 4, 4}));
  const auto& spectral = dynamic_cast<const SpectralEnergy&>(*energy);
  const auto named = energy->module().named_parameters();
  const std::vector<std::string> layers = {"stem", "block1_first", "block1_second", "block1_shortcut"};
  const auto exact = [&] {
    const torch::NoGradGuard no_graph;
    double sum = 0;
    for (const std::string& layer : layers) {
      const Tensor v = named[layer + "_direction"];
      const Tensor w = v / (v.flatten(1).norm(2, 1) + 1e-5).view({-1, 1, 1, 1}) *
                       named[layer + "_log_norm"].exp().view({-1, 1, 1, 1});
      sum += std::get<1>(at::linalg_svd(w.flatten(1), false)).max().item<double>();
    }
    return sum;
  };
  Tensor value = spectral.spectral_norms();
  for (int i = 0; i < 100; ++i) value = spectral.spectral_norms();
  EXPECT_NEAR(value.item<double>(), exact(), 1e-6);
  for (const char* name : {"block1_first_direction", "block1_second_log_norm"}) {
    Tensor parameter = named[name];
    const Tensor gradient = torch::autograd::grad({spectral.spectral_norms()}, {parameter})[0];
    Tensor entry = parameter.dim() == 4 ? parameter.detach()[0][0][0][1] : parameter.detach()[1];
    const double epsilon = 1e-5, before = entry.item<double>();
    entry.fill_(before + epsilon);
    const double above = exact();
    entry.fill_(before - epsilon);
    const double below = exact();
    entry.fill_(before);
    EXPECT_NEAR(gradient.flatten()[1].item<double>(), (above - below) / (2 * epsilon), 1e-5) << name;
  }
  // Where the module does not train, the iteration stands still.
  energy->module().eval();
  const Tensor left = energy->module().named_buffers()["stem_left"].clone();
  spectral.spectral_norms();
  EXPECT_TRUE(torch::equal(left, energy->module().named_buffers()["stem_left"]));
}

TEST(NormalisedResidualEnergy, RefusesWhatDoesNotFit) {
  EXPECT_THROW(make_normalised_residual_energy(network(2, {2}, {2}), context_for({1, 8, 8})), RequestError);
  EXPECT_THROW(make_normalised_residual_energy(network(2, {2}, {1}), context_for({64})), RequestError);
  EXPECT_THROW(make_normalised_residual_energy(network(2, {2, 2, 2}, {1, 2, 3}), context_for({1, 4, 8})), RequestError);
}

}  // namespace
}  // namespace gibbsite
