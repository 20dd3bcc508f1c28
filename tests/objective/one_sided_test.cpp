#include <gtest/gtest.h>

#include "objective/objective_helpers.h"

namespace gibbsite {
namespace {

struct Form {
  const char* name;
  const char* objective;
  Config config;
};

std::vector<Form> forms() {
  return {{"one-sided", "mpf", Config::table({{"form", Config("quadratic")}})},
          {"minimum probability flow", "mpf", Config::table()},
          {"contrast with p(x + v)", "nce", Config::table({{"contrast", Config("shift")}})}};
}

std::unique_ptr<Energy> network() {
  return make_energy("mlp", {3}, Config::table({{"hidden", Config::array({Config(8), Config(8)})}}));
}

Tensor points() { return Rng(4, "x").normal({5, 3}, at::kDouble); }

// The three losses with the same directions, written out: Eq. 54, exp of half the drop, and the two-class cross entropy.
TEST(OneSided, ValuesAreTheFormulas) {
  auto energy = network();
  const Tensor x = points();
  const double epsilon = 0.2;
  Rng rng(9, "objective");
  const Tensor v = epsilon / std::sqrt(3.0) * rng.rademacher(x.sizes(), x);
  const Tensor log_p = -energy->energy(x), plus = -energy->energy(x + v), minus = -energy->energy(x - v);
  const Tensor d = plus - log_p, e = minus - log_p;
  const double square = epsilon * epsilon;
  const double quadratic = ((d.square() + 4 * d + e.square() + 4 * e) / 2).mean().item<double>() / (2 * square);
  const double flow = 4 * (((d / 2).exp() + (e / 2).exp()) / 2 - 1).mean().item<double>() / square;
  // Data x against noise x - v: log odds log p(x) - log p(x + v) at x and log p(x - v) - log p(x) at x - v.
  const Tensor cross_entropy = -at::log_sigmoid(-d) - at::log_sigmoid(-e);
  const double contrast = 2 * (cross_entropy - 2 * std::log(2.0)).mean().item<double>() / square;
  const double expected[] = {quadratic, flow, contrast};
  const std::vector<Form> all = forms();
  for (std::size_t i = 0; i < all.size(); ++i)
    for (const bool batched : {true, false}) {
      const Config options =
          with(all[i].config,
               {{"epsilon", Config(epsilon)}, {"weight", Config("per_dimension")}, {"batched", Config(batched)}});
      EXPECT_NEAR(evaluate(*make_objective(all[i].objective, *energy, options), *energy, x).value, expected[i],
                  1e-9 * std::abs(expected[i]))
          << all[i].name;
    }
}

TEST(OneSided, AveragedOverBothSignsTheErrorFallsAsEpsilonSquared) {
  auto energy = network();
  const Tensor x = points();
  const Evaluated truth = evaluate(*make_objective("ssm", *energy, Config::table()), *energy, x);
  for (const Form& form : forms()) {
    std::vector<double> values, gradients;
    for (const double epsilon : test_epsilons()) {
      const Config options = with(form.config, {{"epsilon", Config(epsilon)}});
      const Evaluated one = evaluate(*make_objective(form.objective, *energy, options), *energy, x);
      values.push_back(std::abs(one.value - truth.value));
      gradients.push_back(worst(one.gradients, truth.gradients));
    }
    EXPECT_NEAR(log_slope(test_epsilons(), values), 2, 0.1) << form.name;
    EXPECT_NEAR(log_slope(test_epsilons(), gradients), 2, 0.1) << form.name;
  }
}

TEST(OneSided, ASingleDrawDivergesAsOneOverEpsilon) {
  auto energy = network();
  const Tensor x = points();
  const Evaluated truth = evaluate(*make_objective("ssm", *energy, Config::table()), *energy, x);
  for (const Form& form : forms()) {
    std::vector<double> gradients;
    for (const double epsilon : test_epsilons()) {
      const Config options = with(form.config, {{"epsilon", Config(epsilon)}, {"symmetric", Config(false)}});
      const Evaluated one = evaluate(*make_objective(form.objective, *energy, options), *energy, x);
      gradients.push_back(worst(one.gradients, truth.gradients));
    }
    EXPECT_NEAR(log_slope(test_epsilons(), gradients), -1, 0.1) << form.name;
    EXPECT_GT(gradients.front(), 10) << form.name;
  }
}

// E = k ‖x‖²/2 on N(0, I): at a small step the best k is 1.
TEST(OneSided, OptimumAndSign) {
  const std::int64_t rows = 20000;
  const Tensor x = Rng(1, "data").normal({rows, 2}, at::kDouble);
  for (const Form& form : forms()) {
    const auto slope = [&](double k) {
      auto energy = make_energy("quadratic", {2}, Config::table({{"stiffness", Config(k)}}));
      const Config options = with(form.config, {{"epsilon", Config(1e-2)}});
      return evaluate(*make_objective(form.objective, *energy, options), *energy, x).gradients[0].item<double>();
    };
    const double low = slope(0.5), high = slope(1.5), root = 0.5 - low / (high - low);
    EXPECT_LT(low, 0) << form.name;
    EXPECT_GT(high, 0) << form.name;
    EXPECT_NEAR(root, 1, 4 * 2.5 / std::sqrt(rows)) << form.name;
  }
}

}  // namespace
}  // namespace gibbsite
