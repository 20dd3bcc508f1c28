#include <gibbsite/core/error.h>
#include <gibbsite/model/ncsn.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

std::unique_ptr<ScoreNetwork> make(std::int64_t filters = 2, std::int64_t levels = 3) {
  NcsnOptions options;
  options.filters = filters;
  options.levels = levels;
  options.activation = "softplus";
  ModelContext context;
  context.event = {1, 8, 8};
  context.dtype = at::kDouble;
  return make_ncsn(options, context);
}

TEST(NoiseLevels, AreGeometric) {
  const std::vector<double> levels = geometric_levels(1, 0.01, 5);
  ASSERT_EQ(levels.size(), 5u);
  EXPECT_DOUBLE_EQ(levels[0], 1);
  EXPECT_NEAR(levels[2], 0.1, 1e-15);
  EXPECT_NEAR(levels[4], 0.01, 1e-16);
  EXPECT_EQ(geometric_levels(0.3, 0.1, 1), std::vector<double>{0.3});
  EXPECT_THROW(geometric_levels(1, 0, 3), RequestError);
}

TEST(Ncsn, AGivenLevelIsRepeatedForStackedBatches) {
  const auto network = make();
  const auto& conditional = dynamic_cast<const ConditionalScore&>(*network);
  Rng rng(1, "score");
  const Tensor x = rng.uniform({2, 1, 8, 8}, at::kDouble), level = torch::tensor({0, 2}, at::kLong);
  const auto score = given(conditional, level);
  const Tensor once = score->at(x, rng).value, twice = score->at(at::cat({x, x}), rng).value;
  EXPECT_LE((twice.narrow(0, 2, 2) - once).abs().max().item<double>(), 1e-12);
  EXPECT_LE((conditional.at(x, level).value - once).abs().max().item<double>(), 1e-12);
  // Without a level: the last one.
  const Tensor last = network->at(x, rng).value;
  EXPECT_LE((last[1] - once[1]).abs().max().item<double>(), 1e-12);
  EXPECT_GT((last[0] - once[0]).abs().max().item<double>(), 1e-5);
  const auto zeroth = given(conditional, torch::scalar_tensor(0, at::kLong));
  EXPECT_LE((zeroth->at(x, rng).value[0] - once[0]).abs().max().item<double>(), 1e-12);
}

TEST(Ncsn, JetIsTheJacobianTimesTheDirection) {
  const auto network = make();
  const auto& conditional = dynamic_cast<const ConditionalScore&>(*network);
  Rng rng(1, "score");
  const Tensor x = rng.uniform({2, 1, 8, 8}, at::kDouble), v = rng.normal({2, 1, 8, 8}, at::kDouble);
  const Tensor level = torch::tensor({1, 2}, at::kLong);
  const Jet jet = *conditional.at(seed_jet(x, v, 1), level);
  const double step = 1e-5;
  const Tensor slope =
      (conditional.at(x + step * v, level).value - conditional.at(x - step * v, level).value) / (2 * step);
  EXPECT_LE((jet.slice(1) - slope).abs().max().item<double>(), 1e-7);
  const ScoreEval s = conditional.at(x, level);
  EXPECT_LE((jet.slice(0) - s.value).abs().max().item<double>(), 1e-12);
  EXPECT_NEAR(s.pullback(v).item<double>(), (s.value * v).sum().item<double>(), 1e-12);
}

TEST(Ncsn, KnowsItsNoiseLevels) {
  const auto network = make(2, 3);
  const std::vector<double>& sigmas = dynamic_cast<const ConditionalScore&>(*network).sigmas();
  ASSERT_EQ(sigmas.size(), 3u);
  EXPECT_EQ(sigmas[0], 1);
  EXPECT_NEAR(sigmas[1], 0.1, 1e-15);
}

TEST(Ncsn, RefusesOddImagesAndLevelsThatGrow) {
  ModelContext context;
  context.event = {1, 7, 8};
  EXPECT_THROW(make_ncsn({}, context), RequestError);
  context.event = {1, 8, 8};
  NcsnOptions options;
  options.sigma_max = 0.001;
  EXPECT_THROW(make_ncsn(options, context), RequestError);
}

}  // namespace
}  // namespace gibbsite
