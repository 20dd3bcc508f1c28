#include <gibbsite/model/energy.h>
#include <gibbsite/objective/objective.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

std::unique_ptr<Energy> make_energy(const std::string& name, const Shape& event, const Config& config,
                                    at::ScalarType dtype = at::kDouble) {
  ModelContext context;
  context.event = event;
  context.init = Rng(3, "init");
  context.dtype = dtype;
  return find_entry(energy_table(), "model", name, "").make(config, context);
}

std::unique_ptr<Objective> make_objective(const std::string& name, Energy& energy, const Config& config) {
  ObjectiveParts parts;
  parts.energy = &energy;
  return find_entry(objective_table(), "objective", name, "").make(config, parts);
}

std::vector<Tensor> gradients(const Objective& objective, Energy& energy, const Tensor& x) {
  Rng rng(9, "objective");
  Batch batch;
  batch.x = x;
  const std::vector<Tensor> parameters = energy.module().parameters();
  std::vector<Tensor> all = torch::autograd::grad({objective(batch, rng).backward}, parameters, {}, {}, false, true);
  for (std::size_t i = 0; i < all.size(); ++i)  // a constant in the energy has no gradient
    if (!all[i].defined()) all[i] = torch::zeros_like(parameters[i]);
  return all;
}

double worst(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  double difference = 0, scale = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference = std::max(difference, (a[i].to(at::kDouble) - b[i].to(at::kDouble)).abs().max().item<double>());
    scale = std::max(scale, b[i].abs().max().item<double>());
  }
  return difference / scale;
}

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
        const std::vector<Tensor> expected = gradients(*truth, *truth_energy, points(stock[i], dtype).to(at::kDouble));
        for (const char* derivative : {"jet", "autograd"}) {
          auto energy = make_energy(fast[i].model, fast[i].event, fast[i].config, dtype);
          auto tested = make_objective(objective, *energy, Config::table({{"derivative", Config(derivative)}}));
          EXPECT_LE(worst(gradients(*tested, *energy, points(fast[i], dtype)), expected),
                    dtype == at::kDouble ? 1e-9 : 1e-4)
              << objective << " " << derivative << " " << fast[i].model;
        }
      }
}

TEST(SlicedScoreMatching, FiniteDifferencesTendToJetsAsEpsilonSquared) {
  for (const Case& c : cases("fast")) {
    auto energy = make_energy(c.model, c.event, c.config);
    auto jets = make_objective("ssm", *energy, Config::table());
    const std::vector<Tensor> truth = gradients(*jets, *energy, points(c));
    std::vector<double> errors;
    for (const double epsilon : {0.1, 0.05}) {
      auto difference = make_objective(
          "ssm", *energy, Config::table({{"derivative", Config("finite_difference")}, {"epsilon", Config(epsilon)}}));
      errors.push_back(worst(gradients(*difference, *energy, points(c)), truth));
    }
    EXPECT_NEAR(std::log2(errors[0] / errors[1]), 2, 0.15) << c.model;
  }
}

TEST(DenoisingScoreMatching, FastGradientsEqualStockDoubleBackward) {
  const std::vector<Case> fast = cases("fast"), stock = cases("stock");
  for (std::size_t i = 0; i < fast.size(); ++i)
    for (const char* objective : {"dsm", "mdsm"}) {
      auto energy = make_energy(fast[i].model, fast[i].event, fast[i].config);
      auto plain = make_energy(stock[i].model, stock[i].event, stock[i].config);
      EXPECT_LE(worst(gradients(*make_objective(objective, *energy, Config::table()), *energy, points(fast[i])),
                      gradients(*make_objective(objective, *plain, Config::table()), *plain, points(stock[i]))),
                1e-10)
          << objective;
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
      return gradients(*make_objective(truth.objective, *energy, truth.config), *energy, x)[0].item<double>();
    };
    EXPECT_LT(slope(truth.k - 0.2), 0) << truth.objective;
    EXPECT_GT(slope(truth.k + 0.2), 0) << truth.objective;
    // The losses are quadratic in k, so the root of the slope is the sample optimum.
    const double low = slope(0.5), high = slope(1.5), root = 0.5 - low / (high - low);
    EXPECT_NEAR(root, truth.k, 4 * 2.5 / std::sqrt(n)) << truth.objective;
  }
}

TEST(MultiscaleDenoising, ShardsOfABatchUseTheirPartOfTheGrid) {
  auto energy = make_energy("mlp", {3}, Config::table());
  auto objective = make_objective("mdsm", *energy, Config::table());
  const Tensor x = Rng(5, "x").normal({8, 3}, at::kDouble);
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

// Contract: every objective repeats exactly from a seed, and the gradient of `backward` is the finite difference of the logged
// value under common random numbers. Persistent chains are frozen negatives, so pcd promises only repetition.
TEST(ObjectiveTable, RepeatsAndDifferentiatesItsLoggedValue) {
  for (const Entry<MakeObjective>& entry : objective_table()) {
    if (entry.name == "cross_entropy" || entry.name == "pcd") continue;
    auto energy = make_energy("mlp", {3}, Config::table({{"hidden", Config::array({Config(6), Config(6)})}}));
    auto objective = make_objective(entry.name, *energy, entry.smallest);
    const Tensor x = Rng(7, "x").normal({6, 3}, at::kDouble);
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
