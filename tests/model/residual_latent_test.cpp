#include <gibbsite/core/error.h>
#include <gibbsite/model/residual_latent.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

ModelContext context_for(const Shape& event, at::ScalarType dtype = at::kDouble) {
  ModelContext context;
  context.event = event;
  context.init = Rng(3, "init");
  context.dtype = dtype;
  return context;
}

ResidualLatentOptions tiny() {
  ResidualLatentOptions options;
  options.latent_size = 3;
  options.filters = 2;
  options.stages = 2;
  return options;
}

// Protocol sheet of VaGES, 3.3: 9.86, 63.94 and 68.88 million parameters.
TEST(ResidualLatent, ParameterCountsOfThePaper) {
  struct Case {
    Shape event;
    std::int64_t filters, blocks, count;
  };
  for (const Case& c :
       {Case{{1, 32, 32}, 64, 2, 986}, Case{{3, 32, 32}, 128, 3, 6394}, Case{{3, 64, 64}, 128, 3, 6888}}) {
    ResidualLatentOptions options;
    options.filters = c.filters;
    options.blocks = c.blocks;
    auto model = make_residual_latent(options, context_for(c.event, at::kFloat));
    std::int64_t count = 0;
    for (const Tensor& p : model->module().parameters()) count += p.numel();
    EXPECT_EQ((count + 5000) / 10000, c.count) << count;
  }
}

// The definition with its own concatenation, and never negative.
TEST(ResidualLatent, IsItsFormula) {
  auto model = make_residual_latent(tiny(), context_for({1, 8, 8}));
  const Tensor v = Rng(1, "v").normal({4, 1, 8, 8}, at::kDouble), h = 3 * Rng(1, "h").normal({5, 4, 3}, at::kDouble);
  const Tensor joint = model->joint(v, h);
  EXPECT_GE(joint.min().item<double>(), 0);
  EXPECT_TRUE(torch::equal(model->given(v)(h), joint));
  auto p = model->module().named_parameters();
  // The code g(v) from the energies of two other heads: A = [I 0] and then ‖elu(g + a)‖² with a large, so that elu is the
  // identity there.
  const Tensor head = p["head_weight"].clone(), bias = p["head_bias"].clone();
  Tensor code = torch::zeros({4, 3}, at::kDouble);
  {
    const at::NoGradGuard no_grad;
    for (std::int64_t k = 0; k < 3; ++k) {
      p["head_weight"].zero_();
      p["head_bias"].zero_();
      p["head_weight"][0][k] = 1;
      p["head_bias"][0] = 100;
      code.select(1, k).copy_(model->joint(v, torch::zeros_like(h))[0].sqrt() - 100);
    }
    p["head_weight"].copy_(head);
    p["head_bias"].copy_(bias);
  }
  const Tensor coupled = at::cat({code + h, h}, -1);
  const Tensor expected = at::elu(at::linear(coupled, head, bias)).square().sum(-1);
  EXPECT_TRUE(at::allclose(joint, expected, 1e-9, 1e-9));
}

// The gradient of z·∇_v log p̃ in the parameters, the expectation part of VaGES, against differences of log p̃ along z.
TEST(ResidualLatent, ExpectationPartIsTheFiniteDifference) {
  auto model = make_residual_latent(tiny(), context_for({1, 8, 8}));
  const Tensor v = Rng(1, "v").normal({2, 1, 8, 8}, at::kDouble), z = Rng(1, "z").normal({2, 1, 8, 8}, at::kDouble);
  const Tensor h = Rng(1, "h").normal({3, 2, 3}, at::kDouble);
  const std::vector<Tensor> parameters = model->module().parameters();
  const Tensor point = v.clone().requires_grad_(true);
  const Tensor slope = torch::autograd::grad({-model->joint(point, h).mean(0).sum()}, {point}, {}, true, true)[0];
  const auto exact = torch::autograd::grad({(slope * z).sum()}, parameters, {}, true, false, true);
  const double step = 1e-5;
  const Tensor difference = (model->joint(v - step * z, h) - model->joint(v + step * z, h)).mean(0).sum() / (2 * step);
  const auto numeric = torch::autograd::grad({difference}, parameters);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const Tensor own = exact[i].defined() ? exact[i] : torch::zeros_like(parameters[i]);
    EXPECT_LT((own - numeric[i]).abs().max().item<double>(), 1e-7 * (1 + numeric[i].abs().max().item<double>())) << i;
  }
}

TEST(ResidualLatent, RefusesOtherShapes) {
  EXPECT_THROW(make_residual_latent(tiny(), context_for({64})), RequestError);
  EXPECT_THROW(make_residual_latent(tiny(), context_for({1, 2, 8})), RequestError);
}

}  // namespace
}  // namespace gibbsite
