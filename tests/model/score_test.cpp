#include <gibbsite/core/error.h>
#include <gibbsite/model/mlp_score.h>
#include <gibbsite/model/score.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

ModelContext context_for(const Shape& event) {
  ModelContext context;
  context.event = event;
  context.init = Rng(3, "init");
  context.dtype = at::kDouble;
  return context;
}

Tensor points(const Shape& event, const char* stream) {
  Shape sizes = event;
  sizes.insert(sizes.begin(), 4);
  return Rng(4, stream).normal(sizes, at::kDouble);
}

// Contract over the table: shapes, examples never mix, the jet is the derivative, pullbacks are gradients.
TEST(ScoreTable, Contract) {
  for (const Entry<MakeScore>& entry : score_table())
    for (const Shape& event : {Shape{3}, Shape{1, 2, 2}}) {
      // Takes images of its own size and bends too sharply for differences; tests/model/ncsn_test.cpp has its contract.
      if (entry.name == "ncsn") continue;
      auto score = entry.make(entry.smallest, context_for(event));
      EXPECT_EQ(score->event(), event);
      const Tensor x = points(event, "x"), v = points(event, "v"), z = points(event, "z");
      Rng rng(1, "score");
      const Tensor s = score->at(x, rng).value;
      ASSERT_EQ(s.sizes(), x.sizes());
      EXPECT_FALSE(s.requires_grad());
      Tensor changed = x.clone();
      changed[1] += 1;
      const Tensor difference = (score->at(changed, rng).value - s).flatten(1).abs().amax(1);
      for (const int row : {0, 2, 3}) EXPECT_EQ(difference[row].item<double>(), 0);
      EXPECT_GT(difference[1].item<double>(), 0);

      const double step = 1e-5;
      const auto along = [&](double t) { return score->at(x + t * v, rng).value; };
      const Tensor slope = (along(step) - along(-step)) / (2 * step);
      ASSERT_TRUE(score->has_jet());
      const Jet jet = *score->at(seed_jet(x, v, 1), rng);
      EXPECT_TRUE(at::allclose(jet.slice(0), s, 0, 1e-12));
      EXPECT_TRUE(at::allclose(jet.slice(1), slope, 1e-6, 1e-8));

      // In the parameters: the first entry of each, by differences. In x: zᵀ ∂s/∂x v.
      const std::vector<Tensor> parameters = score->module().parameters();
      const Tensor point = x.clone().requires_grad_(true);
      const ScoreEval kept = score->at(point, rng);
      const std::vector<Tensor> exact = torch::autograd::grad({kept.pullback(z)}, parameters, {}, true);
      const Tensor in_x = torch::autograd::grad({kept.pullback(z)}, {point}, {}, true)[0];
      EXPECT_NEAR((in_x * v).sum().item<double>(), (z * slope).sum().item<double>(), 1e-7);
      for (std::size_t p = 0; p < parameters.size(); ++p) {
        const at::NoGradGuard no_grad;
        Tensor element = parameters[p].flatten().narrow(0, 0, 1);
        const double centre = element.item<double>();
        const auto value = [&](double at_value) {
          element.fill_(at_value);
          return (score->at(x, rng).value * z).sum().item<double>();
        };
        const double numeric = (value(centre + step) - value(centre - step)) / (2 * step);
        element.fill_(centre);
        EXPECT_NEAR(exact[p].flatten()[0].item<double>(), numeric, 1e-7) << entry.name << " parameter " << p;
      }
    }
}

TEST(MlpScore, StockOperationsAgreeAndHiddenLayersAreNeeded) {
  MlpScoreOptions options;
  options.hidden = {5, 5};
  Rng rng(1, "score");
  const Tensor x = points({3}, "x");
  const Tensor fast = make_mlp_score(options, context_for({3}))->at(x, rng).value;
  options.operations = "stock";
  EXPECT_TRUE(at::allclose(make_mlp_score(options, context_for({3}))->at(x, rng).value, fast, 1e-12, 1e-12));
  options.hidden = {};
  EXPECT_THROW(make_mlp_score(options, context_for({3})), RequestError);
}

// s = -grad E, and the gradient of Σ z·s in the parameters by nested reverse passes through LibTorch's own operations.
TEST(EnergyScore, PullsBackLikeNestedReversePasses) {
  Config options = Config::table({{"hidden", Config::array({Config(6), Config(6)})}});
  auto fast = find_entry(energy_table(), "model", "mlp", "").make(options, context_for({3}));
  options.set("operations", Config("stock"));
  auto stock = find_entry(energy_table(), "model", "mlp", "").make(options, context_for({3}));
  const Tensor x = points({3}, "x"), z = points({3}, "z");
  Rng rng(1, "score");
  const std::unique_ptr<Score> adapted = make_energy_score(*fast);
  const ScoreEval evaluated = adapted->at(x, rng);
  EXPECT_FALSE(adapted->has_jet());
  EXPECT_TRUE(at::allclose(evaluated.value, score(*stock, x), 1e-12, 1e-12));

  const Tensor point = x.clone().requires_grad_(true);
  const Tensor nested = -torch::autograd::grad({stock->energy(point).sum()}, {point}, {}, true, true)[0];
  const std::vector<Tensor> a =
      torch::autograd::grad({evaluated.pullback(z)}, fast->module().parameters(), {}, {}, false, true);
  const std::vector<Tensor> b =
      torch::autograd::grad({(nested * z).sum()}, stock->module().parameters(), {}, {}, false, true);
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i].defined(), b[i].defined());
    if (a[i].defined()) {
      EXPECT_TRUE(at::allclose(a[i], b[i], 1e-10, 1e-12));
    }
  }
}

}  // namespace
}  // namespace gibbsite
