#include <gibbsite/core/error.h>
#include <gibbsite/model/dkef.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

DkefOptions small(const std::string& operations = "fast") {
  DkefOptions options;
  options.inducing = 6;
  options.hidden = {5, 4};
  options.features = 3;
  options.operations = operations;
  return options;
}

std::unique_ptr<ClosedFormEnergy> make(const DkefOptions& options, std::int64_t d, at::ScalarType dtype = at::kDouble) {
  ModelContext context;
  context.event = {d};
  context.init = Rng(3, "init");
  context.dtype = dtype;
  return std::unique_ptr<ClosedFormEnergy>(dynamic_cast<ClosedFormEnergy*>(make_dkef(options, context).release()));
}

Tensor points(std::int64_t n, std::int64_t d, const char* stream = "x") {
  return Rng(4, stream).normal({n, d}, at::kDouble);
}

FitProblem problem_of(FitKind kind) {
  FitProblem problem;
  problem.kind = kind;
  problem.sigma = 0.3;
  return problem;
}

const FitKind kKinds[] = {FitKind::kSliced, FitKind::kSlicedVr, FitKind::kExact, FitKind::kDenoising};

// Relative, but absolute near zero: the last biases of φ cancel.
double difference(const Tensor& a, const Tensor& b) {
  return ((a - b).abs().max() / b.abs().max().clamp_min(1e-4)).item<double>();
}

TEST(Dkef, HasTheParametersOfThePaper) {
  const auto energy = make(DkefOptions(), 15);
  std::int64_t count = 0;
  for (const Tensor& parameter : energy->module().parameters()) count += parameter.numel();
  EXPECT_EQ(count, 11377);
}

// Jets of φ at the data against networks on every pair and nested reverse passes.
TEST(Dkef, NormalEquationsAndTheirGradientsEqualNestedAutograd) {
  for (const std::int64_t d : {1, 4})
    for (const FitKind kind : kKinds) {
      std::vector<std::vector<Tensor>> results;
      for (const char* operations : {"fast", "stock"}) {
        const auto energy = make(small(operations), d);
        Rng rng(5, "fit");
        const NormalEquations equations = energy->normal_equations(points(7, d), problem_of(kind), rng);
        const Tensor weights = energy->solve(equations);
        std::vector<Tensor> result = {equations.gram, equations.target, weights};
        const Tensor mix = Rng(6, "mix").normal({weights.size(0)}, at::kDouble);
        for (const Tensor& g :
             torch::autograd::grad({(weights * mix).sum()}, energy->module().parameters(), {}, {}, false, true))
          result.push_back(g.defined() ? g : torch::zeros({1}, torch::kDouble));
        results.push_back(result);
      }
      for (std::size_t i = 0; i < results[0].size(); ++i)
        EXPECT_LT(difference(results[0][i], results[1][i]), 1e-8) << "kind " << static_cast<int>(kind) << " item " << i;
    }
}

TEST(Dkef, EnergyEqualsItsFormulaOnPairs) {
  const auto fast = make(small(), 4), stock = make(small("stock"), 4);
  const Tensor x = points(9, 4);
  const Tensor weights = Rng(6, "weights").normal({6}, at::kDouble);
  fast->use(weights);
  stock->use(weights);
  EXPECT_LT(difference(fast->energy(x), stock->energy(x)), 1e-12);
  // Far from every inducing point only the base measure is left: ‖x‖² / 8.
  const Tensor far = torch::full({1, 4}, 1e4, torch::kDouble);
  EXPECT_NEAR(fast->energy(far).item<double>(), 4e8 / 8, 1e-6);
}

// The objective whose minimum the weights are, by autograd of the energy on the rows of the fit.
Tensor fitted_loss(const ClosedFormEnergy& energy, const Tensor& rows, const FitProblem& problem, const Rng& rng) {
  const at::AutoGradMode enabled(true);
  Rng own = rng;
  const std::int64_t d = rows.size(1);
  Tensor x = rows.detach();
  const Tensor noise = problem.kind == FitKind::kDenoising ? problem.sigma * own.normal(x.sizes(), x) : Tensor();
  if (noise.defined()) x = x + noise;
  x = x.requires_grad_(true);
  const Tensor score = -torch::autograd::grad({energy.energy(x).sum()}, {x}, {}, true, true)[0];
  const auto curvature = [&](const Tensor& v) {
    return (torch::autograd::grad({(score * v).sum()}, {x}, {}, true, true)[0] * v).sum(1);
  };
  if (noise.defined()) {
    const double variance = problem.sigma * problem.sigma;
    return 0.5 * (variance * score + noise).square().sum(1).mean();
  }
  if (problem.kind == FitKind::kExact) {
    Tensor loss = 0.5 * score.square().sum(1);
    for (std::int64_t j = 0; j < d; ++j) loss = loss + curvature(torch::eye(d, x.options())[j].expand_as(x));
    return loss.mean();
  }
  const Tensor v = own.rademacher(x.sizes(), x);
  const Tensor norm = problem.kind == FitKind::kSliced ? (score * v).sum(1).square() : score.square().sum(1);
  return (0.5 * norm + curvature(v)).mean();
}

TEST(Dkef, WeightsMinimiseTheLossPlusRidge) {
  const auto energy = make(small(), 3);
  const Tensor x = points(12, 3);
  for (const FitKind kind : kKinds) {
    const FitProblem problem = problem_of(kind);
    Rng rng(5, "fit");
    energy->refit(x, problem, rng, 100);
    const Tensor best = energy->weights().clone();
    const double ridge = std::pow(10.0, energy->log_ridge().item<double>());
    const auto loss = [&](const Tensor& weights) {
      energy->use(weights);
      return fitted_loss(*energy, x, problem, Rng(5, "fit")).item<double>() +
             0.5 * ridge * weights.square().sum().item<double>();
    };
    const double lowest = loss(best);
    for (int k = 0; k < 6; ++k) {
      const Tensor step = Rng(7, "step").at_step(static_cast<std::uint64_t>(k)).normal({6}, at::kDouble) * 0.1;
      const double up = loss(best + step) - lowest, down = loss(best - step) - lowest;
      EXPECT_GT(up, 0) << static_cast<int>(kind);
      // A quadratic has its minimum where both sides rise alike.
      EXPECT_NEAR(up, down, 1e-8 * (up + down) + 1e-10) << static_cast<int>(kind);
    }
  }
}

TEST(Dkef, GradientThroughTheSolveEqualsFiniteDifferences) {
  const auto energy = make(small(), 3);
  const Tensor x = points(8, 3);
  const FitProblem problem = problem_of(FitKind::kSliced);
  const Tensor mix = Rng(6, "mix").normal({6}, at::kDouble);
  const auto value = [&] {
    Rng rng(5, "fit");
    return (energy->solve(energy->normal_equations(x, problem, rng)) * mix).sum();
  };
  const std::vector<Tensor> parameters = energy->module().parameters();
  const std::vector<Tensor> gradients = torch::autograd::grad({value()}, parameters);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const Tensor direction =
        Rng(8, "direction").at_step(i).normal({parameters[i].numel()}, at::kDouble).view_as(parameters[i]);
    const double step = 1e-5;
    double sides[2];
    for (int side = 0; side < 2; ++side) {
      const torch::NoGradGuard no_grad;
      parameters[i].add_(direction, side == 0 ? step : -step);
      sides[side] = value().item<double>();
      parameters[i].add_(direction, side == 0 ? -step : step);
    }
    const double expected = (gradients[i] * direction).sum().item<double>();
    EXPECT_NEAR((sides[0] - sides[1]) / (2 * step), expected, 1e-5 * (1 + std::abs(expected))) << i;
  }
}

// The reverse pass of the solve under create_graph, against one that LibTorch records itself.
TEST(Dkef, TheSolveHasSecondDerivatives) {
  const auto energy = make(small(), 3);
  const Tensor root = Rng(1, "a").normal({6, 6}, at::kDouble);
  const Tensor right = Rng(1, "b").normal({6}, at::kDouble);
  const auto second = [&](bool own) {
    const Tensor r = root.clone().requires_grad_(true), b = right.clone().requires_grad_(true);
    const Tensor gram = r.mm(r.t());
    const double ridge = std::pow(10.0, energy->log_ridge().item<double>());
    const Tensor weights =
        own ? energy->solve({gram, b})
            : -at::linalg_solve(gram + ridge * torch::eye(6, gram.options()), b.unsqueeze(1)).squeeze(1);
    const auto first = torch::autograd::grad({weights.square().sum()}, {r, b}, {}, true, true);
    const auto both = torch::autograd::grad({first[0].square().sum() + first[1].pow(3).sum()}, {r, b});
    return std::vector<Tensor>{both[0], both[1]};
  };
  const std::vector<Tensor> own = second(true), stock = second(false);
  for (std::size_t i = 0; i < 2; ++i) EXPECT_LT(difference(own[i], stock[i]), 1e-8);
}

TEST(Dkef, FitsOnTheFirstHalfWhileItTrainsAndUsesWhatItHasOtherwise) {
  const auto energy = make(small(), 3);
  const Tensor x = points(10, 3);
  energy->module().train();
  Rng rng(5, "fit");
  const Fit fit = energy->fit(x, problem_of(FitKind::kExact), rng);
  EXPECT_EQ(fit.first, 5);
  energy->refit(x.slice(0, 0, 5), problem_of(FitKind::kExact), rng);
  EXPECT_LT(difference(fit.energy.value(x), energy->energy(x)), 1e-12);
  EXPECT_LT(difference(energy->fitted(x.slice(0, 0, 5))(x), energy->energy(x)), 1e-12);
  const Tensor other = points(10, 3, "other");
  Rng again(5, "fit");
  Tensor changed = x.clone();
  changed.slice(0, 5).copy_(other.slice(0, 5));
  EXPECT_TRUE(
      torch::equal(energy->fit(changed, problem_of(FitKind::kExact), again).energy.value(x), fit.energy.value(x)));
  energy->module().eval();
  const Fit still = energy->fit(other, problem_of(FitKind::kExact), rng);
  EXPECT_EQ(still.first, 0);
  EXPECT_TRUE(torch::equal(still.energy.value(x), energy->energy(x)));
  // Chunks of any size make the same weights when nothing is drawn.
  const Tensor whole = energy->weights().clone();
  energy->refit(x.slice(0, 0, 5), problem_of(FitKind::kExact), rng, 2);
  EXPECT_LT(difference(energy->weights(), whole), 1e-9);
}

TEST(Dkef, InducingPointsAreTrainingRows) {
  ModelContext context;
  context.event = {2};
  context.dtype = at::kDouble;
  const Tensor rows = points(6, 2);
  context.examples = [&](std::int64_t n) { return rows.slice(0, 0, n); };
  const auto energy = make_dkef(small(), context);
  EXPECT_TRUE(torch::equal(energy->module().named_parameters()["inducing"], rows));
  context.examples = [&](std::int64_t n) { return rows.slice(0, 0, std::min<std::int64_t>(n, 5)); };
  EXPECT_THROW(make_dkef(small(), context), RequestError);
}

TEST(Dkef, SingularSystemsAreReported) {
  const auto energy = make(small(), 2);
  {
    const torch::NoGradGuard no_grad;
    energy->log_ridge().fill_(-400);
  }
  const NormalEquations flat = {torch::ones({6, 6}, at::kDouble), torch::ones({6}, at::kDouble)};
  EXPECT_THROW(energy->solve(flat), WorkError);
  // Parameters that are not numbers give a loss that is none, for the trainer to see.
  const NormalEquations lost = {torch::full({6, 6}, std::nan(""), at::kDouble), torch::ones({6}, at::kDouble)};
  EXPECT_TRUE(energy->solve(lost).isnan().all().item<bool>());
}

}  // namespace
}  // namespace gibbsite
