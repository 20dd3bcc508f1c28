#include <gibbsite/core/error.h>
#include <gibbsite/posterior/importance_score.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "posterior/latent_models.h"

namespace gibbsite {
namespace {

// With many draws it is the score of the marginal, in closed form; with three, the weighted mean of the joint's scores at the
// very draws.
TEST(ImportanceScore, IsTheSelfNormalisedMean) {
  auto grbm = test_grbm();
  const Tensor v = Rng(1, "v").normal({4, 3}, at::kDouble);
  Rng rng(2, "draw");
  const Tensor many = make_importance_score(200000, *grbm)->at(v, rng).value, exact = score(*grbm, v);
  EXPECT_LT((many - exact).abs().max().item<double>(), 0.02);
  EXPECT_GT(exact.abs().max().item<double>(), 1);

  Rng again(2, "draw"), copy = again;
  const Tensor few = make_importance_score(3, *grbm)->at(v, again).value;
  const Tensor h = copy.uniform_particles({3, 4, 4}, v).le(0.5).to(at::kDouble);
  const Tensor density = (-grbm->joint(v, h)).exp(), weight = density / density.sum(0, true);
  const Tensor variance = grbm->visible_deviation().square();
  const Tensor bias = grbm->module().named_parameters()["visible_bias"];
  Tensor mean = torch::zeros_like(v);
  for (std::int64_t l = 0; l < 3; ++l) mean = mean + weight[l].unsqueeze(1) * (grbm->visible_mean(h[l]) - v) / variance;
  EXPECT_TRUE(at::allclose(few, mean, 1e-11, 1e-11));
}

// pullback(z) has the gradient of Σ z·value with the same draws, in every parameter.
TEST(ImportanceScore, PullbackDifferentiatesTheValue) {
  auto grbm = test_grbm();
  const Tensor v = Rng(1, "v").normal({4, 3}, at::kDouble), z = Rng(3, "z").normal({4, 3}, at::kDouble);
  const auto estimator = make_importance_score(3, *grbm);
  const auto at = [&] {
    Rng rng(2, "draw");
    return estimator->at(v, rng);
  };
  at().pullback(z).backward();
  for (Tensor& p : grbm->module().parameters())
    for (std::int64_t i = 0; i < p.numel(); ++i) {
      Tensor element = p.data().flatten().narrow(0, i, 1);
      const double centre = element.item<double>(), step = 1e-5;
      element.fill_(centre + step);
      const double above = (at().value * z).sum().item<double>();
      element.fill_(centre - step);
      const double below = (at().value * z).sum().item<double>();
      element.fill_(centre);
      EXPECT_NEAR(p.grad().flatten()[i].item<double>(), (above - below) / (2 * step), 1e-7);
    }
}

TEST(ImportanceScore, RefusesContinuousLatentVariables) {
  auto model = test_gaussian_latent();
  EXPECT_THROW(make_importance_score(3, *model), RequestError);
  auto grbm = test_grbm();
  EXPECT_THROW(make_importance_score(0, *grbm), RequestError);
}

}  // namespace
}  // namespace gibbsite
