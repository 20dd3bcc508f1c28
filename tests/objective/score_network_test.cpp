// Sliced score matching of score networks.
#include <gibbsite/core/error.h>
#include <gtest/gtest.h>

#include "objective/objective_helpers.h"

namespace gibbsite {
namespace {

std::unique_ptr<ScoreNetwork> network() {
  return make_score({3},
                    Config::table({{"hidden", Config::array({Config(8), Config(8)})}, {"activation", Config("tanh")}}));
}

Tensor points() { return Rng(4, "x").normal({5, 3}, at::kDouble); }

Config by(const char* derivative) { return Config::table({{"derivative", Config(derivative)}}); }

// s(x) = -k x with one parameter.
class LinearScore : public ScoreNetwork {
 public:
  explicit LinearScore(double k) { k_ = module_.register_parameter("k", torch::full({1}, k, at::kDouble)); }
  using Score::at;
  ScoreEval at(const Tensor& x, Rng&) const override {
    const Tensor s = -k_ * x;
    return {s.detach(), [s](const Tensor& z) { return (s * z).sum(); }};
  }
  std::optional<Jet> at(const Jet& x, Rng&) const override { return x * (-k_); }
  bool has_jet() const override { return true; }
  torch::nn::Module& module() override { return module_; }
  Shape event() const override { return {2}; }

 private:
  torch::nn::Module module_;
  Tensor k_;
};

// The network's Jacobian entry by entry, with graph: value and gradient of both forms.
TEST(ScoreNetworkMatching, ExactFormsEqualTheFullJacobian) {
  auto score = network();
  const Tensor x = points();
  Rng rng(9, "objective");
  const Tensor v = rng.rademacher(x.sizes(), x);
  const Tensor point = x.clone().requires_grad_(true);
  const ScoreEval kept = score->at(point, rng);
  Tensor curvature = torch::zeros({5}, at::kDouble), half = torch::zeros({5}, at::kDouble),
         along = torch::zeros({5}, at::kDouble);
  for (std::int64_t i = 0; i < 3; ++i) {
    Tensor basis = torch::zeros_like(x);
    basis.select(1, i).fill_(1);
    const Tensor row = torch::autograd::grad({kept.pullback(basis)}, {point}, {}, true, true)[0];
    curvature = curvature + v.select(1, i) * (row * v).sum(1);
    // s_i with graph, example by example.
    std::vector<Tensor> component;
    for (std::int64_t b = 0; b < 5; ++b) {
      Tensor one = torch::zeros_like(x);
      one[b][i] = 1;
      component.push_back(kept.pullback(one));
    }
    const Tensor s = at::stack(component);
    half = half + 0.5 * s.square();
    along = along + v.select(1, i) * s;
  }
  struct Truth {
    const char* objective;
    Tensor loss;
  };
  for (const Truth& truth :
       {Truth{"ssm_vr", (half + curvature).mean()}, Truth{"ssm", (0.5 * along.square() + curvature).mean()}}) {
    const Evaluated expected = evaluated(truth.loss, score->module());
    for (const char* derivative : {"jet", "autograd"}) {
      const Evaluated tested = evaluate(*make_objective(truth.objective, *score, by(derivative)), *score, x);
      EXPECT_NEAR(tested.value, expected.value, 1e-10) << truth.objective << " " << derivative;
      EXPECT_LE(worst(tested.gradients, expected.gradients), 1e-9) << truth.objective << " " << derivative;
    }
  }
}

TEST(ScoreNetworkMatching, FiniteDifferencesAreThePaperFormula) {
  auto score = network();
  const Tensor x = points();
  const double epsilon = 0.2, d = 3;
  Rng rng(9, "objective");
  const Tensor v = epsilon / std::sqrt(d) * rng.rademacher(x.sizes(), x);
  const Tensor plus = score->at(x + v, rng).value, minus = score->at(x - v, rng).value;
  const double expected =
      ((plus + minus).square().sum(1) / (8 * d) + (v * (plus - minus)).sum(1) / (2 * epsilon * epsilon))
          .mean()
          .item<double>();
  for (const bool batched : {true, false}) {
    const Config options =
        with(by("finite_difference"),
             {{"epsilon", Config(epsilon)}, {"weight", Config("per_dimension")}, {"batched", Config(batched)}});
    EXPECT_NEAR(evaluate(*make_objective("ssm_vr", *score, options), *score, x).value, expected, 1e-10);
  }
}

TEST(ScoreNetworkMatching, FiniteDifferenceErrorsFallAsEpsilonSquared) {
  auto score = network();
  const Tensor x = points();
  for (const char* objective : {"ssm_vr", "ssm"}) {
    const Evaluated truth = evaluate(*make_objective(objective, *score, by("jet")), *score, x);
    std::vector<double> values, gradients;
    for (const double epsilon : test_epsilons()) {
      const Config options = with(by("finite_difference"), {{"epsilon", Config(epsilon)}});
      const Evaluated difference = evaluate(*make_objective(objective, *score, options), *score, x);
      values.push_back(std::abs(difference.value - truth.value));
      gradients.push_back(worst(difference.gradients, truth.gradients));
    }
    EXPECT_NEAR(log_slope(test_epsilons(), values), 2, 0.1) << objective;
    EXPECT_NEAR(log_slope(test_epsilons(), gradients), 2, 0.1) << objective;
  }
}

// The gradient of `backward` is the finite difference of the reported value, and `backward` has that value.
TEST(ScoreNetworkMatching, DifferentiatesItsLoggedValue) {
  auto score = network();
  const Tensor x = points();
  for (const char* objective : {"ssm_vr", "ssm", "dsm", "mdsm"})
    for (const char* derivative : {"jet", "autograd", "finite_difference"}) {
      const bool denoising = std::string(objective).find("dsm") != std::string::npos;
      if (denoising && std::string(derivative) != "autograd") continue;
      auto tested = make_objective(objective, *score, with(by(derivative), {}));
      const Evaluated analytic = evaluate(*tested, *score, x);
      Rng rng(9, "objective");
      Batch batch;
      batch.x = x;
      EXPECT_NEAR((*tested)(batch, rng).backward.item<double>(), analytic.value, 1e-10);
      const std::vector<Tensor> parameters = score->module().parameters();
      for (std::size_t p = 0; p < parameters.size(); ++p) {
        Tensor element = parameters[p].detach().flatten().narrow(0, 0, 1);
        const double step = 1e-5, centre = element.item<double>();
        element.fill_(centre + step);
        const double plus = evaluate(*tested, *score, x).value;
        element.fill_(centre - step);
        const double minus = evaluate(*tested, *score, x).value;
        element.fill_(centre);
        const double numeric = (plus - minus) / (2 * step);
        EXPECT_NEAR(analytic.gradients[p].flatten()[0].item<double>(), numeric, 1e-6 * std::max(1.0, std::abs(numeric)))
            << objective << " " << derivative << " parameter " << p;
      }
    }
}

// s = -k x on N(0, I): the best k is 1 for sliced forms and 1/(1 + σ²) for denoising.
TEST(ScoreNetworkMatching, OptimumAndSign) {
  const std::int64_t rows = 20000;
  const Tensor x = Rng(1, "data").normal({rows, 2}, at::kDouble);
  struct Truth {
    const char* objective;
    Config config;
    double k;
  };
  const Truth truths[] = {{"ssm_vr", by("jet"), 1},
                          {"ssm_vr", by("autograd"), 1},
                          {"ssm_vr", by("finite_difference"), 1},
                          {"ssm", by("finite_difference"), 1},
                          {"dsm", Config::table({{"sigma", Config(0.5)}}), 0.8}};
  for (const Truth& truth : truths) {
    const auto slope = [&](double k) {
      LinearScore score(k);
      return evaluate(*make_objective(truth.objective, score, truth.config), score, x).gradients[0].item<double>();
    };
    const double low = slope(0.5), high = slope(1.5), root = 0.5 - low / (high - low);
    EXPECT_LT(low, 0) << truth.objective;
    EXPECT_GT(high, 0) << truth.objective;
    EXPECT_NEAR(root, truth.k, 4 * 2.5 / std::sqrt(rows)) << truth.objective;
  }
}

TEST(ScoreNetworkMatching, EnergyOnlyObjectivesSayWhatTheyNeed) {
  auto score = network();
  for (const char* objective : {"exact_score_matching", "mpf", "nce"})
    EXPECT_THROW(make_objective(objective, *score, Config::table()), RequestError) << objective;
}

}  // namespace
}  // namespace gibbsite
