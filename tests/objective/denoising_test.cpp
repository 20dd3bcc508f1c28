#include <gibbsite/core/error.h>
#include <gibbsite/objective/denoising.h>
#include <gibbsite/objective/noise_law.h>
#include <gtest/gtest.h>

#include "objective/objective_helpers.h"

namespace gibbsite {
namespace {

struct Case {
  const char* model;
  Shape event;
  Config config;
};

std::vector<Case> cases(const std::string& operations) {
  return {{"mlp",
           {3},
           Config::table({{"hidden", Config::array({Config(8), Config(8)})}, {"operations", Config(operations)}})},
          {"residual",
           {1, 8, 8},
           Config::table({{"filters", Config(2)},
                          {"stages", Config(2)},
                          {"blocks", Config(2)},
                          {"operations", Config(operations)}})}};
}

Tensor points(const Shape& event) {
  Shape sizes = event;
  sizes.insert(sizes.begin(), 5);
  return Rng(4, "x").normal(sizes, at::kDouble);
}

/// -grad E with graph, by LibTorch's own operations.
Tensor nested_score(const Energy& stock, const Tensor& x) {
  const Tensor point = x.clone().requires_grad_(true);
  return -torch::autograd::grad({stock.energy(point).sum()}, {point}, {}, true, true)[0];
}

// Value and gradient of the exact forms against the formulas written out with nested reverse passes.
TEST(DenoisingScoreMatching, ExactFormEqualsNestedReversePasses) {
  const std::vector<Case> fast = cases("fast"), stock = cases("stock");
  const double sigma = 0.3;
  for (std::size_t i = 0; i < fast.size(); ++i) {
    auto energy = make_energy(fast[i].model, fast[i].event, fast[i].config);
    auto plain = make_energy(stock[i].model, stock[i].event, stock[i].config);
    const Tensor x = points(fast[i].event);
    Rng rng(9, "objective");
    const Tensor g = rng.normal(x.sizes(), x);

    const Evaluated dsm =
        evaluate(*make_objective("dsm", *energy, Config::table({{"sigma", Config(sigma)}})), *energy, x);
    const Tensor residual = nested_score(*plain, x + sigma * g) + g / sigma;
    const Tensor loss = 0.5 * sum_event(residual.square()).mean();
    const Evaluated truth = evaluated(loss, plain->module());
    EXPECT_NEAR(dsm.value, truth.value, 1e-10 * std::abs(truth.value)) << fast[i].model;
    EXPECT_LE(worst(dsm.gradients, truth.gradients), 1e-9) << fast[i].model;

    const Evaluated mdsm = evaluate(*make_objective("mdsm", *energy, Config::table()), *energy, x);
    const Tensor level = torch::linspace(0.05, 1.2, 5, at::kDouble), n = scale_rows(g, level);
    const Tensor squared = sum_event((nested_score(*plain, x + n) + n / 0.01).square());
    const Tensor total = 1e-4 * (squared / level.square()).mean();
    const Evaluated multiscale = evaluated(total, plain->module());
    EXPECT_NEAR(mdsm.value, multiscale.value, 1e-10 * std::abs(multiscale.value)) << fast[i].model;
    EXPECT_LE(worst(mdsm.gradients, multiscale.gradients), 1e-9) << fast[i].model;
  }
}

// The printed formula of FD-DSM and FD-MDSM with the same draws.
TEST(DenoisingScoreMatching, FiniteDifferencesAreThePaperFormula) {
  auto energy = make_energy("mlp", {3}, cases("fast")[0].config);
  const Tensor x = points({3});
  const double epsilon = 0.07, sigma = 0.3;
  Config options = Config::table({{"derivative", Config("finite_difference")},
                                  {"projection", Config("sphere")},
                                  {"epsilon", Config(epsilon)},
                                  {"sigma", Config(sigma)},
                                  {"weight", Config("per_dimension")}});
  Rng rng(9, "objective");
  const Tensor g = rng.normal(x.sizes(), x), direction = rng.normal(x.sizes(), x);
  const Tensor v = epsilon * scale_rows(direction, direction.norm(2, 1).reciprocal());
  const auto drop = [&](const Tensor& at_point) { return energy->energy(at_point - v) - energy->energy(at_point + v); };
  const Tensor n = sigma * g;
  const double dsm =
      ((drop(x + n) + 2 * sum_event(v * n) / (sigma * sigma)).square().mean() / (4 * epsilon * epsilon)).item<double>();
  for (const bool batched : {true, false})
    EXPECT_NEAR(
        evaluate(*make_objective("dsm", *energy, with(options, {{"batched", Config(batched)}})), *energy, x).value, dsm,
        1e-10 * dsm);

  options.erase("weight");
  options.set("sigma", Config(0.1));
  const Tensor level = torch::linspace(0.05, 1.2, 5, at::kDouble), m = scale_rows(g, level);
  const Tensor r = 0.5 * drop(x + m) + sum_event(v * m) / 0.01;
  const double mdsm = 1e-4 * 3 / (epsilon * epsilon) * (r.square() / level.square()).mean().item<double>();
  EXPECT_NEAR(evaluate(*make_objective("mdsm", *energy, options), *energy, x).value, mdsm, 1e-10 * mdsm);
}

TEST(DenoisingScoreMatching, FiniteDifferenceErrorsFallAsEpsilonSquared) {
  for (const Case& c : cases("fast"))
    for (const char* objective : {"dsm", "mdsm"}) {
      auto energy = make_energy(c.model, c.event, c.config);
      const Tensor x = points(c.event);
      const Evaluated truth =
          evaluate(*make_objective(objective, *energy, Config::table({{"derivative", Config("jet")}})), *energy, x);
      std::vector<double> values, gradients;
      for (const double epsilon : test_epsilons()) {
        const Config options =
            Config::table({{"derivative", Config("finite_difference")}, {"epsilon", Config(epsilon)}});
        const Evaluated difference = evaluate(*make_objective(objective, *energy, options), *energy, x);
        values.push_back(std::abs(difference.value - truth.value));
        gradients.push_back(worst(difference.gradients, truth.gradients));
      }
      EXPECT_NEAR(log_slope(test_epsilons(), values), 2, 0.1) << objective << " " << c.model;
      EXPECT_NEAR(log_slope(test_epsilons(), gradients), 2, 0.1) << objective << " " << c.model;
    }
}

// Along directions with E[v vᵀ] = I the projected losses have the exact loss as their mean, whatever the law.
TEST(DenoisingScoreMatching, ProjectionsAverageToTheExactLoss) {
  auto energy = make_energy("mlp", {3}, cases("fast")[0].config);
  const std::int64_t rows = 4000;
  const Tensor x = Rng(4, "x").normal({rows, 3}, at::kDouble);
  const double exact = evaluate(*make_objective("dsm", *energy, Config::table()), *energy, x).value;
  for (const char* law : {"rademacher", "gaussian", "sphere"}) {
    const Config options = Config::table(
        {{"derivative", Config("finite_difference")}, {"epsilon", Config(1e-3)}, {"projection", Config(law)}});
    // ½(v·r)² varies by at most 2 (½‖r‖²)², whose mean is below twice the squared mean.
    EXPECT_NEAR(evaluate(*make_objective("dsm", *energy, options), *energy, x).value, exact,
                4 * exact * std::sqrt(4.0 / rows))
        << law;
  }
}

TEST(DenoisingScoreMatching, FiniteDifferencesOfAQuadraticAreExactAtAnyStep) {
  auto energy = make_energy("quadratic", {3}, Config::table());
  const Tensor x = points({3});
  const Evaluated truth =
      evaluate(*make_objective("dsm", *energy, Config::table({{"derivative", Config("jet")}})), *energy, x);
  const Config options = Config::table({{"derivative", Config("finite_difference")}, {"epsilon", Config(2.0)}});
  const Evaluated difference = evaluate(*make_objective("dsm", *energy, options), *energy, x);
  EXPECT_NEAR(difference.value, truth.value, 1e-9 * truth.value);
  EXPECT_LE(worst(difference.gradients, truth.gradients), 1e-9);
}

// A score network is trained by the same formula.
TEST(DenoisingScoreMatching, TakesAScoreNetwork) {
  auto score = make_score({3}, Config::table({{"hidden", Config::array({Config(6)})}}));
  const Tensor x = points({3});
  const double sigma = 0.3;
  const Evaluated dsm = evaluate(*make_objective("dsm", *score, Config::table({{"sigma", Config(sigma)}})), *score, x);
  Rng rng(9, "objective");
  const Tensor g = rng.normal(x.sizes(), x);
  // The order-1 jet of the network carries its value with graph.
  const Tensor s = score->at(seed_jet(x + sigma * g, torch::zeros_like(x), 1), rng)->slice(0);
  const Tensor loss = 0.5 * sum_event((s + g / sigma).square()).mean();
  const Evaluated truth = evaluated(loss, score->module());
  EXPECT_NEAR(dsm.value, truth.value, 1e-12 * truth.value);
  EXPECT_LE(worst(dsm.gradients, truth.gradients), 1e-10);
  EXPECT_THROW(make_objective("dsm", *score, Config::table({{"derivative", Config("finite_difference")}})),
               RequestError);
}

// E = k ‖x‖²/2 on N(0, I): the best k is d/(d + E‖n‖²) for every noise law, since E[n·grad log q] = -d.
TEST(DenoisingScoreMatching, OptimumAndSignForEveryNoiseLaw) {
  const std::int64_t rows = 40000;
  const double sigma = 0.5, smoothing = 0.2;
  const Tensor x = Rng(1, "data").normal({rows, 2}, at::kDouble);
  struct Truth {
    const char* law;
    double variance;  // of one coordinate
  };
  const Truth truths[] = {{"gaussian", sigma * sigma},
                          {"laplace", sigma * sigma * (2 + smoothing * smoothing)},
                          {"student", sigma * sigma * 5.0 / 3}};
  for (const Truth& truth : truths)
    for (const char* derivative : {"autograd", "finite_difference"}) {
      const Config options =
          Config::table({{"sigma", Config(sigma)}, {"law", Config(truth.law)}, {"derivative", Config(derivative)}});
      const auto slope = [&](double k) {
        auto energy = make_energy("quadratic", {2}, Config::table({{"stiffness", Config(k)}}));
        return evaluate(*make_objective("dsm", *energy, options), *energy, x).gradients[0].item<double>();
      };
      const double best = 1 / (1 + truth.variance), low = slope(0), high = slope(1), root = -low / (high - low);
      EXPECT_LT(low, 0);
      EXPECT_GT(high, 0);
      // The root is a ratio of means; one term of its numerator has a deviation of a few units at most.
      EXPECT_NEAR(root, best, 4 * 4 / std::sqrt(rows)) << truth.law << " " << derivative;
    }
}

// The best k of the multi-scale loss solves Σ_b [k (1 + σ_b²) - σ_b²/σ₀²]/σ_b² = 0.
TEST(MultiscaleDenoising, OptimumAndSign) {
  const std::int64_t rows = 20000;
  const Tensor x = Rng(1, "data").normal({rows, 2}, at::kDouble);
  const Tensor level = torch::linspace(0.5, 1.5, rows, at::kDouble);
  const double variance = 0.49;
  const double best = 1 / variance / (1 + level.square().reciprocal().mean().item<double>());
  for (const char* derivative : {"autograd", "finite_difference"}) {
    const Config options = Config::table({{"sigma", Config(std::sqrt(variance))},
                                          {"sigma_min", Config(0.5)},
                                          {"sigma_max", Config(1.5)},
                                          {"derivative", Config(derivative)}});
    const auto slope = [&](double k) {
      auto energy = make_energy("quadratic", {2}, Config::table({{"stiffness", Config(k)}}));
      return evaluate(*make_objective("mdsm", *energy, options), *energy, x).gradients[0].item<double>();
    };
    const double low = slope(0), high = slope(2), root = -2 * low / (high - low);
    EXPECT_LT(low, 0);
    EXPECT_GT(high, 0);
    EXPECT_NEAR(root, best, 4 * 4 / std::sqrt(rows)) << derivative;
  }
}

// Levels 0.1, 0.2, 0.4, 0.8 by hand, and a batch of one row at the smallest.
TEST(MultiscaleDenoising, GeometricLevels) {
  auto energy = make_energy("quadratic", {2}, Config::table({{"stiffness", Config(0.7)}}));
  const Config options = Config::table({{"spacing", Config("geometric")},
                                        {"sigma", Config(0.3)},
                                        {"sigma_min", Config(0.1)},
                                        {"sigma_max", Config(0.8)},
                                        {"factor", Config(0.5)}});
  for (const std::int64_t rows : {4, 1}) {
    const Tensor x = Rng(5, "x").normal({rows, 2}, at::kDouble);
    Rng rng(9, "objective");
    const Tensor level = torch::tensor({0.1, 0.2, 0.4, 0.8}, at::kDouble).narrow(0, 0, rows);
    const Tensor n = scale_rows(rng.normal(x.sizes(), x), level);
    const Tensor squared = (-0.7 * (x + n) + n / 0.09).square().sum(1) / level.square();
    const double expected = 0.5 * squared.mean().item<double>();
    EXPECT_NEAR(evaluate(*make_objective("mdsm", *energy, options), *energy, x).value, expected, 1e-10 * expected);
  }
}

TEST(MultiscaleDenoising, ShardsOfABatchUseTheirPartOfTheGrid) {
  auto energy = make_energy("mlp", {3}, Config::table());
  const Tensor x = Rng(5, "x").normal({8, 3}, at::kDouble);
  for (const char* derivative : {"autograd", "finite_difference"}) {
    auto objective = make_objective("mdsm", *energy, Config::table({{"derivative", Config(derivative)}}));
    const auto value = [&](std::int64_t first, std::int64_t rows) {
      Rng rng = Rng(6, "noise").at_row(first);
      Batch batch;
      batch.x = x.narrow(0, first, rows);
      batch.first_row = first;
      batch.global_size = 8;
      return (*objective)(batch, rng).backward.item<double>() * static_cast<double>(rows);
    };
    EXPECT_NEAR(value(0, 8), value(0, 3) + value(3, 5), 1e-9 * std::abs(value(0, 8)));
  }
}

TEST(EpsilonSchedule, FallsGeometricallyWithTheProgressOfTheRun) {
  StepOptions step;
  step.epsilon = 0.1;
  step.epsilon_final = 1e-3;
  EXPECT_EQ(step.at(0.7).epsilon, 0.1);
  step.epsilon_schedule = "geometric";
  EXPECT_DOUBLE_EQ(step.at(0).epsilon, 0.1);
  EXPECT_NEAR(step.at(0.5).epsilon, 1e-2, 1e-16);
  EXPECT_NEAR(step.at(1).epsilon, 1e-3, 1e-17);

  auto energy = make_energy("mlp", {3}, Config::table());
  const Tensor x = points({3});
  for (const char* objective : {"ssm", "dsm", "mpf"}) {
    const auto value = [&](const Config& options, double progress) {
      Config all = options;
      if (std::string(objective) != "mpf") all.set("derivative", Config("finite_difference"));
      return evaluate(*make_objective(objective, *energy, all), *energy, x, progress).value;
    };
    const Config falling = Config::table(
        {{"epsilon", Config(0.9)}, {"epsilon_schedule", Config("geometric")}, {"epsilon_final", Config(0.1)}});
    const double half = value(falling, 0.5);
    EXPECT_NEAR(half, value(Config::table({{"epsilon", Config(0.3)}}), 0), 1e-9 * std::abs(half)) << objective;
    EXPECT_NE(half, value(falling, 0)) << objective;
  }
}

}  // namespace
}  // namespace gibbsite
