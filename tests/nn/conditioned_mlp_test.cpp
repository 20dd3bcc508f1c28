#include <gibbsite/nn/conditioned_mlp.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

struct Fixture {
  Parameters parameters{Rng(1, "init"), at::kDouble, at::kCPU};
  ConditionedMlp body{parameters, "body", shape(), 4};
  Tensor v = Rng(2, "v").normal({3, 4}, at::kDouble), h = Rng(2, "h").normal({6, 2}, at::kDouble);
  static MlpShape shape() {
    MlpShape made;
    made.input = 6;
    made.hidden = {5, 7};
    made.output = 2;
    made.activation = Activation::kTanh;
    return made;
  }
  Tensor joined() const { return body.joined({at::cat({v.repeat({2, 1}), h}, 1)}).t; }
};

TEST(ConditionedMlp, IsTheNetworkOfBothInputsSideBySide) {
  Fixture f;
  const Tensor split = f.body.forward(f.h, f.body.condition(f.v)), whole = f.joined();
  EXPECT_TRUE(at::allclose(split, whole, 1e-12, 1e-12));
  const Tensor z = Rng(3, "z").normal(split.sizes(), at::kDouble);
  const std::vector<Tensor> parameters = f.parameters.module().parameters();
  const auto a = torch::autograd::grad({(split * z).sum()}, parameters);
  const auto b = torch::autograd::grad({(whole * z).sum()}, parameters);
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(at::allclose(a[i], b[i], 1e-12, 1e-12)) << i;
}

TEST(ConditionedMlp, JetsAreAlongTheSecondInput) {
  Fixture f;
  const Tensor direction = Rng(4, "v").normal(f.h.sizes(), at::kDouble);
  const Tensor condition = f.body.condition(f.v);
  const Jet jet = f.body.forward(seed_jet(f.h, direction, 2), condition);
  const double step = 1e-4;
  const Tensor plus = f.body.forward(f.h + step * direction, condition), here = f.body.forward(f.h, condition),
               minus = f.body.forward(f.h - step * direction, condition);
  EXPECT_TRUE(at::allclose(jet.slice(0), here, 0, 1e-12));
  EXPECT_TRUE(at::allclose(jet.derivative(1), (plus - minus) / (2 * step), 1e-6, 1e-7));
  EXPECT_TRUE(at::allclose(jet.derivative(2), (plus + minus - 2 * here) / (step * step), 1e-5, 1e-6));
}

}  // namespace
}  // namespace gibbsite
