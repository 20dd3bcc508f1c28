#include <gibbsite/core/error.h>
#include <gibbsite/model/energy.h>
#include <gibbsite/objective/objective.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

Config widths(std::initializer_list<int> values) {
  std::vector<Config> items(values.begin(), values.end());
  return Config::array(items);
}

struct Case {
  const char* name;
  const char* model;
  Config config;
};

// Every operation with a rule: activations, heads, skips, the Gaussian kernel.
std::vector<Case> cases() {
  return {
      {"silu", "mlp", Config::table({{"hidden", widths({6, 5})}})},
      {"softplus, quadratic head", "mlp",
       Config::table({{"hidden", widths({6, 5})}, {"activation", "softplus"}, {"head", "quadratic"}, {"skip", true}})},
      {"tanh, confined", "mlp",
       Config::table({{"hidden", widths({5, 5, 4})}, {"activation", "tanh"}, {"confinement", 0.3}})},
      {"quadratic", "quadratic", Config::table({{"stiffness", 0.7}, {"centre", true}})},
      {"dkef", "dkef", Config::table({{"inducing", 4}, {"hidden", widths({5, 4})}, {"features", 3}})},
  };
}

std::unique_ptr<Energy> make_energy(const Case& c, std::int64_t d = 3) {
  ModelContext context;
  context.event = {d};
  context.init = Rng(3, "init");
  context.dtype = at::kDouble;
  auto energy = find_entry(energy_table(), "model", c.model, "").make(c.config, context);
  energy->module().eval();
  return energy;
}

Tensor points(std::int64_t n, std::int64_t d = 3) { return Rng(4, "x").normal({n, d}, at::kDouble); }

// Gradient and diagonal of the Hessian of log p = −E, by nested reverse passes.
DiagonalCurvature exact(const Energy& energy, const Tensor& x) {
  const Tensor point = x.clone().requires_grad_(true);
  const Tensor score = -torch::autograd::grad({energy.energy(point).sum()}, {point}, {}, true, true)[0];
  std::vector<Tensor> diagonal;
  for (std::int64_t j = 0; j < x.size(1); ++j)
    diagonal.push_back(torch::autograd::grad({score.select(1, j).sum()}, {point}, {}, true)[0].select(1, j));
  return {score.detach(), torch::stack(diagonal, 1)};
}

DiagonalCurvature recursion(const Energy& energy, const Tensor& x, Rng* rng, double sign = -1) {
  const Traced start = start_trace(x);
  const Traced e = *energy.traced(start);
  const Tensor seed = torch::full_like(e.value, sign);
  return rng ? curvature_propagation(e, start, seed, *rng) : approximate_backprop(e, start, seed);
}

double worst(const Tensor& a, const Tensor& b) { return (a - b).abs().max().item<double>(); }

TEST(DiagonalCurvature, TheGradientIsThatOfAutograd) {
  for (const Case& c : cases()) {
    const auto energy = make_energy(c);
    const Tensor x = points(6);
    const DiagonalCurvature truth = exact(*energy, x);
    Rng rng(5, "signs");
    EXPECT_LT(worst(energy->traced(start_trace(x))->value, energy->energy(x)), 1e-12) << c.name;
    EXPECT_LT(worst(recursion(*energy, x, nullptr).gradient, truth.gradient), 1e-12) << c.name;
    EXPECT_LT(worst(recursion(*energy, x, &rng).gradient, truth.gradient), 1e-12) << c.name;
  }
}

TEST(DiagonalCurvature, ApproximateBackpropIsExactWithOneHiddenLayerOnly) {
  const Case one{"one", "mlp", Config::table({{"hidden", widths({7})}, {"skip", true}, {"confinement", 0.2}})};
  const Case two{"two", "mlp", Config::table({{"hidden", widths({7, 7})}})};
  const Tensor x = points(6);
  EXPECT_LT(worst(recursion(*make_energy(one), x, nullptr).diagonal, exact(*make_energy(one), x).diagonal), 1e-12);
  EXPECT_GT(worst(recursion(*make_energy(two), x, nullptr).diagonal, exact(*make_energy(two), x).diagonal), 1e-4);
}

// The kernel node alone couples its inputs in no sum that approximate back-propagation drops.
TEST(DiagonalCurvature, ApproximateBackpropIsExactForGaussianKernels) {
  const Tensor x = points(5), anchors = Rng(6, "anchors").normal({4, 3}, at::kDouble);
  const Tensor width = torch::tensor(0.7, torch::kDouble), seed = Rng(7, "seed").normal({5, 4}, at::kDouble);
  const Traced start = start_trace(x);
  const DiagonalCurvature c = approximate_backprop(gaussian_kernel(start, anchors, width), start, seed);
  const Tensor point = x.clone().requires_grad_(true);
  const Tensor k = (-(point.unsqueeze(1) - anchors).square().sum(2) / (2 * width)).exp();
  const Tensor gradient = torch::autograd::grad({(k * seed).sum()}, {point}, {}, true, true)[0];
  EXPECT_LT(worst(c.gradient, gradient.detach()), 1e-13);
  for (std::int64_t j = 0; j < 3; ++j) {
    const Tensor row = torch::autograd::grad({gradient.select(1, j).sum()}, {point}, {}, true)[0];
    EXPECT_LT(worst(c.diagonal.select(1, j), row.select(1, j)), 1e-12);
  }
}

TEST(DiagonalCurvature, PropagatedCurvatureIsUnbiased) {
  constexpr std::int64_t kDraws = 100000;
  for (const Case& c : cases()) {
    const auto energy = make_energy(c);
    for (Tensor& parameter : energy->module().parameters()) parameter.requires_grad_(false);
    const Tensor x = points(2);
    const Tensor truth = exact(*energy, x).diagonal.sum(1);
    // Of log p and of E: what bends upwards in one bends downwards in the other, and takes the other factor.
    for (std::int64_t point = 0; point < x.size(0); ++point) {
      const double sign = point == 0 ? -1 : 1;
      Rng rng(5, "signs");
      const Tensor many = x.narrow(0, point, 1).expand({kDraws, x.size(1)});
      const Tensor traces = recursion(*energy, many, &rng, sign).diagonal.sum(1);
      const double error = traces.std().item<double>() / std::sqrt(static_cast<double>(kDraws));
      EXPECT_NEAR(traces.mean().item<double>(), -sign * truth[point].item<double>(), 4 * error + 1e-12) << c.name;
    }
  }
}

std::unique_ptr<Objective> make_objective(const std::string& name, Energy& energy) {
  ObjectiveParts parts;
  parts.energy = &energy;
  return find_entry(objective_table(), "objective", name, "").make(Config::table(), parts);
}

TEST(DiagonalCurvature, ObjectivesAreTheExactLossWhereTheTraceIsExact) {
  const Case one{"one", "mlp", Config::table({{"hidden", widths({7})}, {"activation", "softplus"}})};
  const auto energy = make_energy(one);
  Batch batch;
  batch.x = points(8);
  Rng rng(5, "objective");
  const std::vector<Tensor> parameters = energy->module().parameters();
  const auto gradients = [&](const char* name) {
    return torch::autograd::grad({(*make_objective(name, *energy))(batch, rng).backward}, parameters, {}, {}, false,
                                 true);
  };
  const auto tested = gradients("approximate_backprop"), truth = gradients("exact_score_matching");
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const Tensor zero = torch::zeros_like(parameters[i]);  // the last bias moves neither
    EXPECT_LT(worst(tested[i].defined() ? tested[i] : zero, truth[i].defined() ? truth[i] : zero), 1e-11) << i;
  }
  EXPECT_NEAR((*make_objective("approximate_backprop", *energy))(batch, rng).backward.item<double>(),
              (*make_objective("exact_score_matching", *energy))(batch, rng).backward.item<double>(), 1e-11);
}

// A linear unit bends nowhere: the root of a zero curvature must not make its gradient infinite.
TEST(DiagonalCurvature, GradientsStayFiniteWhereTheCurvatureIsZero) {
  Case flat = cases()[0];
  const auto energy = make_energy(flat);
  {
    const torch::NoGradGuard no_grad;
    for (auto& item : energy->module().named_parameters())
      if (item.key().find("head") != std::string::npos) item.value().zero_();
  }
  Batch batch;
  batch.x = points(4);
  Rng rng(5, "objective");
  const Loss loss = (*make_objective("curvature_propagation", *energy))(batch, rng);
  for (const Tensor& g : torch::autograd::grad({loss.backward}, energy->module().parameters(), {}, {}, false, true))
    if (g.defined()) {
      EXPECT_TRUE(g.isfinite().all().item<bool>());
    }
}

// In training the weights of a DKEF come from the recursion's own estimates on the first half.
TEST(DiagonalCurvature, FitsADkefByItsOwnEstimates) {
  const Case dkef = cases().back();
  const auto energy = make_energy(dkef);
  energy->module().train();
  const Tensor x = points(12);
  FitProblem problem;
  for (const FitKind kind : {FitKind::kApproximateBackprop, FitKind::kCurvaturePropagation}) {
    problem.kind = kind;
    Rng rng(5, "fit");
    const Fit fit = energy->fit(x, problem, rng);
    ASSERT_EQ(fit.first, 6);
    const Traced start = start_trace(x);
    EXPECT_LT(worst(fit.traced(start).value, fit.energy.value(x)), 1e-12);
  }
  Batch batch;
  batch.x = x;
  for (const char* name : {"approximate_backprop", "curvature_propagation"}) {
    Rng rng(5, "objective");
    const Loss loss = (*make_objective(name, *energy))(batch, rng);
    for (const Tensor& g : torch::autograd::grad({loss.backward}, energy->module().parameters()))
      EXPECT_TRUE(g.isfinite().all().item<bool>()) << name;
  }
}

TEST(DiagonalCurvature, RefusesModelsWithoutRules) {
  ModelContext context;
  context.event = {1, 8, 8};
  const auto residual = find_entry(energy_table(), "model", "residual", "")
                            .make(Config::table({{"filters", 2}, {"stages", 1}, {"blocks", 1}}), context);
  EXPECT_THROW(make_objective("curvature_propagation", *residual), RequestError);
}

}  // namespace
}  // namespace gibbsite
