// Formulas of energies affine in h against float64 autograd of joint(v, h) and of the marginal.
#include <gibbsite/model/grbm.h>
#include <gibbsite/model/score.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

constexpr double kClose = 1e-12;

std::unique_ptr<Grbm> machine(bool learn_deviation) {
  GrbmOptions options;
  options.latent_size = 4;
  options.learn_deviation = learn_deviation;
  options.initial = "normal";
  options.initial_deviation = 0.7;
  ModelContext context;
  context.event = {1, 3};
  context.init = Rng(3, "init");
  context.dtype = at::kDouble;
  auto made = std::make_unique<Grbm>(options, context);
  const torch::NoGradGuard no_grad;
  if (learn_deviation)
    made->module().named_parameters()["log_deviation"].copy_(torch::linspace(-0.3, 0.4, 3, at::kDouble));
  return made;
}

Tensor drawn(const char* name, at::IntArrayRef sizes) { return Rng(7, name).normal(sizes, at::kDouble); }

Tensor gradient(const Tensor& y, const Tensor& x) { return torch::autograd::grad({y.sum()}, {x}, {}, true, true)[0]; }

// A parameter without gradient has zeros.
void expect_same_gradients(const Tensor& found, const Tensor& truth, const Grbm& of) {
  const std::vector<Tensor> parameters = const_cast<Grbm&>(of).module().parameters();
  const auto a = torch::autograd::grad({found}, parameters, {}, true, false, true);
  const auto b = torch::autograd::grad({truth}, parameters, {}, true, false, true);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const Tensor zero = torch::zeros_like(parameters[i]);
    const Tensor expected = b[i].defined() ? b[i] : zero;
    EXPECT_TRUE(at::allclose(a[i].defined() ? a[i] : zero, expected, kClose, kClose)) << i;
    EXPECT_GT(expected.abs().max().item<double>(), 1e-3) << i;
  }
}

TEST(AffineLatent, FormulasAreThoseOfTheJoint) {
  for (const bool learns : {true, false}) {
    const auto grbm = machine(learns);
    const Tensor v = drawn("v", {5, 1, 3}).requires_grad_(true), z = drawn("z", {5, 1, 3});
    const Tensor h = drawn("h", {5, 4}).requires_grad_(true), u = drawn("u", {5, 4});
    const Tensor log_p = -grbm->joint(v, h.unsqueeze(0)).squeeze(0);
    EXPECT_TRUE(at::allclose(grbm->offset(v) + (h * grbm->latent_logits(v)).sum(1), log_p, kClose, kClose));
    const Tensor slope = gradient(log_p, v);
    EXPECT_TRUE(at::allclose(grbm->conditional_score(v, h), slope, kClose, kClose));
    EXPECT_TRUE(at::allclose(grbm->coupled(v, z), gradient((slope * z).sum(), h), kClose, kClose));
    const Tensor pulled = grbm->pullback(v.detach(), z, h.detach(), u), value = (slope * z).sum();
    EXPECT_NEAR(pulled.item<double>(), value.item<double>(), kClose);
    expect_same_gradients(pulled, value + (u * grbm->latent_logits(v)).sum(), *grbm);
  }
}

// Energies by formula where v is constant, by autograd where it is not.
TEST(AffineLatent, EnergiesHaveTheirParameterGradientsByFormula) {
  for (const bool learns : {true, false}) {
    const auto grbm = machine(learns);
    const Tensor v = drawn("v", {5, 1, 3}), seed = drawn("seed", {5});
    const Tensor by_graph = grbm->energy(v.clone().requires_grad_(true)), by_formula = grbm->energy(v);
    EXPECT_TRUE(at::allclose(by_formula, by_graph, kClose, kClose));
    expect_same_gradients((by_formula * seed).sum(), (by_graph * seed).sum(), *grbm);
    const Tensor h = drawn("h", {6, 5, 4}), of_each = drawn("each", {6, 5});
    const Tensor joint_by_graph = grbm->joint(v.clone().requires_grad_(true), h), joint = grbm->joint(v, h);
    EXPECT_TRUE(at::allclose(joint, joint_by_graph, kClose, kClose));
    expect_same_gradients((joint * of_each).sum(), (joint_by_graph * of_each).sum(), *grbm);
  }
}

TEST(AffineLatent, ScoreOfTheMarginalIsThatOfItsEnergy) {
  for (const bool learns : {true, false}) {
    const auto grbm = machine(learns);
    const Tensor v = drawn("v", {5, 1, 3}), z = drawn("z", {5, 1, 3});
    const Tensor x = v.clone().requires_grad_(true), slope = -gradient(grbm->energy(x), x);
    Rng rng(1, "none");
    const ScoreEval score = make_energy_score(*grbm)->at(v, rng);
    EXPECT_FALSE(score.value.requires_grad());
    EXPECT_TRUE(at::allclose(score.value, slope, kClose, kClose));
    const Tensor pulled = score.pullback(z), truth = (slope * z).sum();
    EXPECT_NEAR(pulled.item<double>(), truth.item<double>(), kClose);
    expect_same_gradients(pulled, truth, *grbm);
  }
}

TEST(AffineLatent, CovariancesOfDrawsAndOfWeightedStates) {
  const Tensor h = drawn("h", {6, 2, 3}), t = drawn("t", {2, 3});
  const Tensor weight = drawn("weight", {6, 2}).softmax(0), mean = (weight.unsqueeze(-1) * h).sum(0);
  const Tensor of_draws = sample_covariance(h, t), of_states = weighted_covariance(h, weight, mean, t);
  for (std::int64_t b = 0; b < 2; ++b) {
    const Tensor row = h.select(1, b), away = row - mean[b];
    EXPECT_TRUE(at::allclose(of_draws[b], row.t().cov().matmul(t[b]), kClose, kClose));
    const Tensor matrix = away.t().matmul(weight.select(1, b).unsqueeze(1) * away);
    EXPECT_TRUE(at::allclose(of_states[b], matrix.matmul(t[b]), kClose, kClose));
  }
}

}  // namespace
}  // namespace gibbsite
