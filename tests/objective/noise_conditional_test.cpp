#include <gibbsite/core/error.h>
#include <gibbsite/model/noise_levels.h>
#include <gibbsite/objective/objective.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {
namespace {

std::unique_ptr<ScoreNetwork> make_network() {
  ModelContext context;
  context.event = {1, 4, 4};
  context.init = Rng(3, "init");
  context.dtype = at::kDouble;
  const Config options = Config::table({{"filters", Config(2)},
                                        {"levels", Config(3)},
                                        {"sigma_max", Config(0.5)},
                                        {"sigma_min", Config(0.02)},
                                        {"activation", Config("softplus")}});
  return find_entry(score_table(), "score", "ncsn", "").make(options, context);
}

struct Evaluated {
  double value;
  std::vector<Tensor> gradients;
};

Evaluated evaluated(const Tensor& loss, const Tensor& reported, ScoreNetwork& network) {
  return {reported.item<double>(), torch::autograd::grad({loss}, network.module().parameters(), {}, {}, false, true)};
}

double worst(const Evaluated& a, const Evaluated& b) {
  double difference = 0, scale = 0;
  for (std::size_t i = 0; i < a.gradients.size(); ++i) {
    if (!b.gradients[i].defined()) continue;
    difference = std::max(difference, (a.gradients[i] - b.gradients[i]).abs().max().item<double>());
    scale = std::max(scale, b.gradients[i].abs().max().item<double>());
  }
  return difference / scale;
}

// The same draws, then the weighted loss by two nested reverse passes.
TEST(NoiseConditional, IsTheWeightedSlicedLossAtEveryLevel) {
  const auto network = make_network();
  const auto& conditional = dynamic_cast<const ConditionalScore&>(*network);
  const Tensor data = Rng(4, "x").uniform({6, 1, 4, 4}, at::kDouble);
  Rng draws(9, "objective");
  const Tensor level = draws.integers({6}, 3);
  const Tensor sigma = torch::tensor({0.5, 0.1, 0.02}, at::kDouble).index_select(0, level);
  const Tensor x = (data + sigma.view({6, 1, 1, 1}) * draws.normal(data.sizes(), data)).requires_grad_(true);
  const Tensor v = draws.normal(data.sizes(), data);
  EXPECT_GT((level.max() - level.min()).item<std::int64_t>(), 0);
  const ScoreEval at_x = conditional.at(x, level);
  const Tensor along = torch::autograd::grad({at_x.pullback(v)}, {x}, {}, true, true)[0];
  const Tensor curvature = (sigma.square() * sum_event(along * v)).sum() / 6;
  const Tensor half = (0.5 * sigma.square() * sum_event(at_x.value.square())).sum() / 6;
  const Tensor seed = at_x.value * sigma.square().view({6, 1, 1, 1}) / 6;
  const Evaluated truth = evaluated(at_x.pullback(seed) + curvature, half + curvature.detach(), *network);

  for (const char* derivative : {"jet", "autograd", "finite_difference"}) {
    Config options = Config::table({{"derivative", Config(derivative)}});
    const bool difference = derivative == std::string("finite_difference");
    if (difference) options.set("epsilon", Config(1e-4));
    ObjectiveParts parts;
    parts.score = network.get();
    const auto objective = find_entry(objective_table(), "objective", "noise_conditional", "").make(options, parts);
    Rng rng(9, "objective");
    Batch batch;
    batch.x = data;
    const Loss loss = (*objective)(batch, rng);
    const Evaluated tested = evaluated(loss.backward, loss.log[0].second, *network);
    EXPECT_NEAR(tested.value, truth.value, (difference ? 1e-6 : 1e-11) * std::abs(truth.value)) << derivative;
    EXPECT_LE(worst(tested, truth), difference ? 1e-5 : 1e-10) << derivative;
  }
}

TEST(NoiseConditional, NeedsANetworkToldTheLevel) {
  ObjectiveParts parts;
  EXPECT_THROW(find_entry(objective_table(), "objective", "noise_conditional", "").make(Config::table(), parts),
               RequestError);
}

}  // namespace
}  // namespace gibbsite
