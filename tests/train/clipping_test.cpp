#include <gibbsite/train/clipping.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

ClippingOptions limits(double norm, double value) {
  ClippingOptions options;
  options.clip_norm = norm;
  options.clip_value = value;
  return options;
}

TEST(Clipping, NormOfAllGradientsTogether) {
  // 3² + 4² + 12² = 13²
  const std::vector<Tensor> gradients = {torch::tensor({3.0, 4.0}), Tensor(), torch::tensor({{12.0}})};
  EXPECT_NEAR(global_norm(gradients).item<double>(), 13, 1e-5);
  EXPECT_EQ(global_norm({Tensor()}).item<double>(), 0);
}

// However many numbers there are, of whatever layout and type.
TEST(Clipping, NormsOfFewAndOfManyNumbersAgree) {
  const Tensor few = torch::linspace(-1, 2, 60, torch::kDouble).view({5, 12}), many = torch::linspace(-3, 1, 200000);
  const double of_few = few.square().sum().item<double>(),
               of_many = many.to(torch::kDouble).square().sum().item<double>();
  EXPECT_NEAR(global_norm({few}).item<double>(), std::sqrt(of_few), 1e-12);
  EXPECT_NEAR(global_norm({few.t()}).item<double>(), std::sqrt(of_few), 1e-12);
  EXPECT_NEAR(global_norm({few.slice(1, 0, 12, 2)}).item<double>(),
              few.slice(1, 0, 12, 2).square().sum().sqrt().item<double>(), 1e-12);
  EXPECT_NEAR(global_norm({few, many}).item<double>(), std::sqrt(of_few + of_many), 0.01);
  EXPECT_EQ(global_norm({few.to(torch::kFloat)}).scalar_type(), torch::kFloat);
}

TEST(Clipping, ScalesToTheLimitAndReportsTheNormBefore) {
  std::vector<Tensor> gradients = {torch::tensor({3.0, 4.0}, torch::kDouble), Tensor(),
                                   torch::tensor({12.0}, torch::kDouble)};
  EXPECT_NEAR(clip_gradients(gradients, limits(6.5, 0)).item<double>(), 13, 1e-12);
  EXPECT_TRUE(torch::allclose(gradients[0], torch::tensor({1.5, 2.0}, torch::kDouble), 1e-14));
  EXPECT_NEAR(gradients[2].item<double>(), 6, 1e-13);
  EXPECT_NEAR(clip_gradients(gradients, limits(7, 0)).item<double>(), 6.5, 1e-12);
  EXPECT_NEAR(gradients[2].item<double>(), 6, 1e-13) << "below the limit nothing changes";
}

TEST(Clipping, ValuesFirst) {
  std::vector<Tensor> gradients = {torch::tensor({-30.0, 4.0}, torch::kDouble)};
  EXPECT_NEAR(clip_gradients(gradients, limits(2.5, 3)).item<double>(), std::sqrt(916.0), 1e-12);
  EXPECT_TRUE(torch::allclose(gradients[0], torch::tensor({-3.0, 3.0}, torch::kDouble) * 2.5 / std::sqrt(18.0), 1e-14));
}

TEST(Clipping, SharedAndExpandedGradientsAreScaledOnce) {
  const Tensor shared = torch::full({1}, 3.0, torch::kDouble).expand({4});
  std::vector<Tensor> gradients = {shared, shared};
  const double norm = clip_gradients(gradients, limits(1, 0)).item<double>();
  EXPECT_NEAR(norm, 3 * std::sqrt(8.0), 1e-12);
  EXPECT_NEAR(global_norm(gradients).item<double>(), 1, 1e-12);
}

// Bounds 3 √v + 0.1 of each entry, by hand; without moments nothing is clipped.
TEST(Clipping, MomentsBoundEveryEntryApart) {
  ClippingOptions options;
  options.clip_moments = 3;
  const Tensor gradient = torch::tensor({5.0, -5.0, 0.2, -0.05}, torch::kDouble);
  std::vector<Tensor> gradients = {gradient, Tensor()};
  EXPECT_NEAR(clip_gradients(gradients, options).item<double>(), gradient.norm().item<double>(), 1e-12);
  EXPECT_TRUE(torch::equal(gradients[0], gradient));
  const Tensor square = torch::tensor({1.0, 0.25, 0.0, 0.01}, torch::kDouble);
  clip_gradients(gradients, options, {square, Tensor()});
  EXPECT_TRUE(torch::allclose(gradients[0], torch::tensor({3.1, -1.6, 0.1, -0.05}, torch::kDouble), 1e-14));
}

TEST(Clipping, ZeroGradientsStayZero) {
  std::vector<Tensor> gradients = {torch::zeros({3})};
  EXPECT_EQ(clip_gradients(gradients, limits(1, 0)).item<double>(), 0);
  EXPECT_TRUE(torch::equal(gradients[0], torch::zeros({3})));
}

}  // namespace
}  // namespace gibbsite
