#include <gibbsite/objective/projection.h>
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
  Config mlp =
      Config::table({{"hidden", Config::array({Config(8), Config(8), Config(8)})}, {"operations", Config(operations)}});
  Config residual = Config::table(
      {{"filters", Config(2)}, {"stages", Config(2)}, {"blocks", Config(2)}, {"operations", Config(operations)}});
  return {{"mlp", {3}, mlp}, {"residual", {1, 8, 8}, residual}};
}

Tensor points(const Case& c, at::ScalarType dtype = at::kDouble) {
  Shape sizes = c.event;
  sizes.insert(sizes.begin(), 5);
  return Rng(4, "x").normal(sizes, dtype);
}

// The tensors of LibTorch's meta device have no numbers: what makes a tensor on the CPU, or loops over memory without
// asking where it is, fails on it as it would on a GPU. (Some activations have operations that the device lacks.)
// A direction of zeros, which a pair of normals is once in 2^24, makes no NaN.
TEST(Projection, ZeroDirectionsStayFinite) {
  const Displacement step = displacement(torch::zeros({3, 2}), 0.1);
  EXPECT_TRUE(step.step.isfinite().all().item<bool>());
  EXPECT_TRUE(step.scale.isfinite().all().item<bool>());
}

TEST(ScoreMatching, StaysOnTheDeviceOfTheData) {
  ModelContext context;
  context.event = {3};
  context.device = at::kMeta;
  const Config hidden = Config::array({Config(8), Config(8)});
  const Tensor x = torch::zeros({5, 3}, torch::dtype(torch::kFloat).device(torch::kMeta));
  for (const char* activation : {"silu", "tanh"}) {
    const auto energy = find_entry(energy_table(), "model", "mlp", "")
                            .make(Config::table({{"hidden", hidden}, {"activation", Config(activation)}}), context);
    const auto expect_meta = [&](const char* name, const Config& options) {
      for (const Tensor& gradient : gradients(*make_objective(name, *energy, options), *energy, x))
        EXPECT_TRUE(gradient.is_meta()) << name << ' ' << activation;
    };
    for (const char* name : {"dsm", "mdsm"}) expect_meta(name, Config::table());
    for (const char* name : {"ssm", "ssm_vr", "exact_score_matching"})
      for (const char* derivative : {"jet", "autograd"})
        expect_meta(name, Config::table({{"derivative", Config(derivative)}}));
    for (const char* name : {"ssm", "ssm_vr"})
      expect_meta(name, Config::table({{"derivative", Config("finite_difference")}}));
  }
}

// Jets with fast operations against nested reverse passes through LibTorch's own operations.
TEST(SlicedScoreMatching, JetGradientsEqualNestedAutograd) {
  const std::vector<Case> fast = cases("fast"), stock = cases("stock");
  for (std::size_t i = 0; i < fast.size(); ++i)
    for (const char* objective : {"ssm", "ssm_vr", "exact_score_matching"})
      for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
        auto truth_energy = make_energy(stock[i].model, stock[i].event, stock[i].config, at::kDouble);
        auto truth = make_objective(objective, *truth_energy, Config::table({{"derivative", Config("autograd")}}));
        const Evaluated expected = evaluate(*truth, *truth_energy, points(stock[i], dtype).to(at::kDouble));
        for (const char* derivative : {"jet", "autograd"}) {
          auto energy = make_energy(fast[i].model, fast[i].event, fast[i].config, dtype);
          auto tested = make_objective(objective, *energy, Config::table({{"derivative", Config(derivative)}}));
          const Evaluated exact = evaluate(*tested, *energy, points(fast[i], dtype));
          const double tolerance = dtype == at::kDouble ? 1e-9 : 1e-4;
          EXPECT_LE(worst(exact.gradients, expected.gradients), tolerance)
              << objective << " " << derivative << " " << fast[i].model;
          EXPECT_NEAR(exact.value, expected.value, tolerance * std::abs(expected.value))
              << objective << " " << derivative << " " << fast[i].model;
        }
      }
}

TEST(SlicedScoreMatching, FiniteDifferenceErrorsFallAsEpsilonSquared) {
  for (const Case& c : cases("fast")) {
    // The residual energy is some 1e3 times larger than its fourth derivative: at 3e-3 the second difference is rounding,
    // which another BLAS does differently.
    std::vector<double> epsilons = test_epsilons();
    if (std::string(c.model) == "residual") epsilons.erase(epsilons.begin());
    for (const char* objective : {"ssm", "ssm_vr"}) {
      auto energy = make_energy(c.model, c.event, c.config);
      scale_parameters(energy->module(), 3);
      const Evaluated truth = evaluate(*make_objective(objective, *energy, Config::table()), *energy, points(c));
      std::vector<double> values, gradients;
      for (const double epsilon : epsilons) {
        const Config options =
            Config::table({{"derivative", Config("finite_difference")}, {"epsilon", Config(epsilon)}});
        const Evaluated difference = evaluate(*make_objective(objective, *energy, options), *energy, points(c));
        values.push_back(std::abs(difference.value - truth.value));
        gradients.push_back(worst(difference.gradients, truth.gradients));
      }
      EXPECT_NEAR(log_slope(epsilons, values), 2, 0.1) << objective << " " << c.model;
      EXPECT_NEAR(log_slope(epsilons, gradients), 2, 0.1) << objective << " " << c.model;
    }
  }
}

// The printed formula, Eq. 9, with the same directions.
TEST(SlicedScoreMatching, FiniteDifferencesAreThePaperFormula) {
  const Case c = cases("fast")[0];
  auto energy = make_energy(c.model, c.event, c.config);
  const Tensor x = points(c);
  const double epsilon = 0.2;
  Rng rng(9, "objective");
  const Tensor v = epsilon / std::sqrt(3.0) * rng.rademacher(x.sizes(), x);
  const Tensor centre = -energy->energy(x), plus = -energy->energy(x + v), minus = -energy->energy(x - v);
  const double expected =
      (plus + minus - 2 * centre + (plus - minus).square() / 8).mean().item<double>() / (epsilon * epsilon);
  const Config options = Config::table(
      {{"derivative", Config("finite_difference")}, {"epsilon", Config(epsilon)}, {"weight", Config("per_dimension")}});
  EXPECT_NEAR(evaluate(*make_objective("ssm", *energy, options), *energy, x).value, expected, 1e-10);
}

TEST(SlicedScoreMatching, FiniteDifferencesOfAQuadraticAreExactAtAnyStep) {
  auto energy = make_energy("quadratic", {3}, Config::table());
  const Tensor x = Rng(4, "x").normal({5, 3}, at::kDouble);
  const Evaluated truth = evaluate(*make_objective("ssm", *energy, Config::table()), *energy, x);
  const Config options = Config::table({{"derivative", Config("finite_difference")}, {"epsilon", Config(2.0)}});
  const Evaluated difference = evaluate(*make_objective("ssm", *energy, options), *energy, x);
  EXPECT_NEAR(difference.value, truth.value, 1e-9);
  EXPECT_LE(worst(difference.gradients, truth.gradients), 1e-9);
}

// Over directions of every law, sliced and finite-difference losses have the exact loss as their mean.
TEST(SlicedScoreMatching, ProjectionsAverageToTheExactLoss) {
  auto energy = make_energy("mlp", {3}, cases("fast")[0].config);
  const std::int64_t rows = 200, batches = 20;
  const Tensor x = Rng(4, "x").normal({1, 3}, at::kDouble).expand({rows, 3}).contiguous();
  const double exact = evaluate(*make_objective("exact_score_matching", *energy, Config::table()), *energy, x).value;
  for (const char* law : {"rademacher", "gaussian", "sphere"})
    for (const char* derivative : {"jet", "finite_difference"}) {
      Config options = Config::table({{"derivative", Config(derivative)}, {"projection", Config(law)}});
      if (std::string(derivative) == "finite_difference") options.set("epsilon", Config(1e-2));
      const auto objective = make_objective("ssm", *energy, options);
      std::vector<double> terms;
      Rng rng(9, "objective");
      Batch batch;
      batch.x = x;
      for (std::int64_t b = 0; b < batches; ++b) terms.push_back((*objective)(batch, rng).log[0].second.item<double>());
      const Tensor means = torch::tensor(terms, at::kDouble);
      EXPECT_NEAR(means.mean().item<double>(), exact, 4 * means.std().item<double>() / std::sqrt(batches) + 1e-6)
          << law << " " << derivative;
    }
}

// E = k ‖x‖²/2 on N(0, I): the exact and sliced losses are minimal at k = 1, denoising at 1/(1 + σ²).
TEST(ScoreMatching, OptimumAndSignOnAGaussian) {
  const std::int64_t n = 20000;
  const Tensor x = Rng(1, "data").normal({n, 2}, at::kDouble);
  struct Truth {
    const char* objective;
    Config config;
    double k;
  };
  const double sigma = 0.5;
  std::vector<Truth> truths = {{"exact_score_matching", Config::table(), 1},
                               {"ssm_vr", Config::table(), 1},
                               {"ssm", Config::table(), 1},
                               {"ssm", Config::table({{"derivative", Config("finite_difference")}}), 1},
                               {"dsm", Config::table({{"sigma", Config(sigma)}}), 1 / (1 + sigma * sigma)}};
  for (const Truth& truth : truths) {
    const auto slope = [&](double k) {
      auto energy = make_energy("quadratic", {2}, Config::table({{"stiffness", Config(k)}}));
      return evaluate(*make_objective(truth.objective, *energy, truth.config), *energy, x).gradients[0].item<double>();
    };
    EXPECT_LT(slope(truth.k - 0.2), 0) << truth.objective;
    EXPECT_GT(slope(truth.k + 0.2), 0) << truth.objective;
    // The losses are quadratic in k, so the root of the slope is the sample optimum.
    const double low = slope(0.5), high = slope(1.5), root = 0.5 - low / (high - low);
    EXPECT_NEAR(root, truth.k, 4 * 2.5 / std::sqrt(n)) << truth.objective;
  }
}

// Contract: every objective repeats exactly from a seed, and the gradient of `backward` is the finite difference of the logged
// value under common random numbers. Persistent chains are frozen negatives, so pcd promises only repetition.
TEST(ObjectiveTable, RepeatsAndDifferentiatesItsLoggedValue) {
  struct Variant {
    std::string name;
    Config options;
  };
  std::vector<Variant> variants;
  for (const Entry<MakeObjective>& entry : objective_table())
    if (entry.name != "cross_entropy" && entry.name != "pcd" && entry.name != "cd" &&
        entry.name != "noise_conditional" && entry.name != "autoencoder" && entry.name.rfind("latent_", 0) != 0 &&
        entry.name.rfind("posterior_", 0) != 0 && entry.name.rfind("variational_", 0) != 0 &&
        entry.name.rfind("bi", 0) != 0 && entry.name != "is_ksd" && entry.name != "vnce" &&
        entry.name != "fisher_critic" && entry.name != "vaebm" && entry.name != "evidence" &&
        entry.name != "generator_energy" && entry.name.find("inference") == std::string::npos)
      variants.push_back({entry.name, entry.smallest});
  for (const char* name : {"ssm", "ssm_vr", "dsm", "mdsm"})
    for (const char* derivative : {"jet", "autograd", "finite_difference"})
      variants.push_back({name, Config::table({{"derivative", Config(derivative)}})});
  variants.push_back({"mpf", Config::table({{"form", Config("quadratic")}})});
  variants.push_back({"dsm", Config::table({{"control_variate", Config(true)}})});
  for (const char* dynamics : {"langevin", "svgd", "spos", "birth_death"})
    for (const char* form : {"limit", "difference"})
      variants.push_back({"mvl", Config::table({{"dynamics", Config(dynamics)}, {"form", Config(form)}})});
  variants.push_back({"nce", Config::table({{"contrast", Config("shift")}})});
  for (const Variant& entry : variants) {
    // Maximum likelihood needs an exact log density.
    const bool exact = entry.name == "mle";
    const Config hidden = Config::table({{"hidden", Config::array({Config(6), Config(6)})}});
    auto energy = make_energy(exact ? "nice" : "mlp", {exact ? 4 : 3}, hidden);
    auto objective = make_objective(entry.name, *energy, entry.options);
    const Tensor x = Rng(7, "x").normal({6, exact ? 4 : 3}, at::kDouble);
    const auto logged = [&] {
      Rng rng(8, "contract");
      Batch batch;
      batch.x = x;
      return (*objective)(batch, rng).log[0].second.item<double>();
    };
    EXPECT_EQ(logged(), logged()) << entry.name;
    Rng rng(8, "contract");
    Batch batch;
    batch.x = x;
    const std::vector<Tensor> parameters = energy->module().parameters();
    const std::vector<Tensor> analytic =
        torch::autograd::grad({(*objective)(batch, rng).backward}, parameters, {}, {}, false, true);
    for (std::size_t p = 0; p < parameters.size(); ++p) {
      const at::NoGradGuard guard;
      Tensor element = parameters[p].flatten().narrow(0, 0, 1);
      const double step = 1e-5, centre = element.item<double>();
      element.fill_(centre + step);
      double plus, minus;
      {
        const at::AutoGradMode on(true);
        plus = logged();
      }
      element.fill_(centre - step);
      {
        const at::AutoGradMode on(true);
        minus = logged();
      }
      element.fill_(centre);
      const double numeric = (plus - minus) / (2 * step), scale = std::max(1e-3, std::abs(numeric));
      const double exact = analytic[p].defined() ? analytic[p].flatten()[0].item<double>() : 0;
      EXPECT_NEAR(exact, numeric, 1e-6 * scale + 1e-8) << entry.name << " parameter " << p;
    }
  }
}

}  // namespace
}  // namespace gibbsite
