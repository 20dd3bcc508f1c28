// Unbiased estimates by enumeration of everything that can be drawn: with weights that are its probability, the mean is exact.
#include <gibbsite/core/error.h>
#include <gibbsite/posterior/variational_curvature.h>
#include <gibbsite/posterior/variational_score.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "posterior/given_draws.h"
#include "posterior/latent_models.h"

namespace gibbsite {
namespace {

// All `draws`-tuples of states of {0, 1}²: h [draws, 4^draws, 2], and how probable each is given v.
struct Tuples {
  Tensor h, probability;
};

Tuples all_tuples(const Grbm& grbm, const Tensor& v, std::int64_t draws) {
  const std::int64_t count = std::int64_t{1} << (2 * draws);
  const Tensor number = torch::arange(count, at::kLong);
  std::vector<Tensor> states;
  for (std::int64_t i = 0; i < 2 * draws; ++i)
    states.push_back(number.bitwise_right_shift(torch::full({}, i, at::kLong)).bitwise_and(torch::ones({}, at::kLong)));
  Tuples made;
  made.h = at::stack(states).view({draws, 2, count}).transpose(1, 2).to(at::kDouble).contiguous();
  const Tensor p = grbm.latent_logits(v).detach().sigmoid();
  made.probability = (made.h * p + (1 - made.h) * (1 - p)).prod(2).prod(0);
  return made;
}

double worst(const Tensor& a, const Tensor& b) { return ((a - b).abs().max() / b.abs().max()).item<double>(); }

TEST(VariationalCurvature, IsExactWhenItsExpectationIsEnumerated) {
  auto grbm = test_grbm(3, 2);
  const std::vector<Tensor> parameters = grbm->module().parameters();
  const Tensor v = Rng(7, "v").normal({1, 3}, at::kDouble), u = Rng(7, "u").normal({1, 3}, at::kDouble);
  const Tensor truth =
      -directional_derivative(scalar_function(*grbm), v, u, 2, DerivativeMethod::kAutograd, true).sum();
  const Tensor gradient = flat(torch::autograd::grad({truth}, parameters, {}, {}, false, true), parameters);
  for (const std::int64_t particles : {3, 4}) {
    const Tuples all = all_tuples(*grbm, v, particles);
    const std::int64_t rows = all.h.size(1);
    EXPECT_NEAR(all.probability.sum().item<double>(), 1, 1e-12);
    const VariationalCurvature estimate = variational_curvature(*grbm, v.expand({rows, 3}), all.h, u.expand({rows, 3}));
    EXPECT_NEAR((estimate.value * all.probability).sum().item<double>(), truth.item<double>(), 1e-12);
    const Tensor mean = (estimate.surrogate * all.probability).sum();
    EXPECT_LE(worst(flat(torch::autograd::grad({mean}, parameters)), gradient), 1e-12) << particles;
  }
  EXPECT_THROW(variational_curvature(*grbm, v, all_tuples(*grbm, v, 2).h.narrow(1, 0, 1), u), RequestError);
}

// The other half of sliced score matching: ½‖s‖², whose gradient is sᵀ∂s with both factors estimated, by three sets of two.
TEST(VariationalScore, ProductWithItsGradientIsExactWhenItsExpectationIsEnumerated) {
  auto grbm = test_grbm(3, 2);
  const std::vector<Tensor> parameters = grbm->module().parameters();
  const Tensor v = Rng(7, "v").normal({1, 3}, at::kDouble), point = v.clone().requires_grad_(true);
  const Tensor score = torch::autograd::grad({grbm->energy(point).sum()}, {point}, {}, true, true)[0];
  const Tensor gradient = flat(torch::autograd::grad({0.5 * score.square().sum()}, parameters));
  const Tuples all = all_tuples(*grbm, v, 6);
  const std::int64_t rows = all.h.size(1);
  GivenDraws draws(all.h);
  Rng rng(1, "none");
  const ScoreEval estimate = make_variational_score({}, *grbm, draws)->at(v.expand({rows, 3}), rng);
  const Tensor mean = estimate.pullback(scale_rows(estimate.value, all.probability));
  EXPECT_LE(worst(flat(torch::autograd::grad({mean}, parameters)), gradient), 1e-12);
}

}  // namespace
}  // namespace gibbsite
