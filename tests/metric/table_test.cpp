#include <gibbsite/core/error.h>
#include <gibbsite/metric/table.h>
#include <gibbsite/model/noise_space.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>
#include <set>

namespace gibbsite {
namespace {

class Plane : public Generator {
 public:
  std::vector<Shape> groups() const override { return {{1}}; }
  Shape event() const override { return {2}; }
  Generated generate(const std::vector<Tensor>& noise) const override {
    return {noise, {}, noise[0].expand({noise[0].size(0), 2}), at::ones({}, noise[0].options())};
  }
  std::vector<Tensor> noise_of(const std::vector<Tensor>& z) const override { return z; }
};

MetricInput full_input() {
  static const Plane generator;
  static const NoiseSpace space(generator, {});
  MetricInput input;
  input.rng = Rng(1, "test");
  Rng rng(2, "data");
  input.energy = [](const Tensor& x) { return x.square().sum(1) / 2; };
  input.space = &space;
  input.correction = input.energy;
  input.data = rng.normal({200, 2}, at::kDouble);
  input.training = rng.normal({200, 2}, at::kDouble);
  input.samples = rng.normal({100, 2}, at::kDouble);
  input.out = {{"far", 5 * rng.normal({50, 2}, at::kDouble)}};
  input.classify = [](const Tensor& x) {
    const Tensor right = x.select(1, 0).gt(0).to(at::kDouble);
    return at::stack({1 - right, right}, 1);
  };
  input.features = [](const Tensor& x) { return x; };
  input.inception = [](const Tensor& x) { return InceptionOutput{x, 3 * x}; };
  input.inception_sha256 = "0";
  input.chains = rng.normal({50, 4, 2}, at::kDouble);
  input.chain_energies = input.chains.square().sum(2) / 2;
  input.divergences = at::zeros({4}, at::kLong);
  input.labels = input.data.select(1, 0).gt(0).to(at::kLong);
  return input;
}

TEST(MetricTable, EveryEntryIsDescribedAndRuns) {
  const MetricInput input = full_input();
  std::set<std::string> names;
  for (const MetricEntry& entry : metric_table()) {
    EXPECT_TRUE(names.insert(entry.name).second) << entry.name;
    EXPECT_FALSE(entry.summary.empty()) << entry.name;
    EXPECT_EQ(entry.summary.find('\n'), std::string::npos);
    const std::vector<MetricValue> values = entry.evaluate(input);
    ASSERT_FALSE(values.empty()) << entry.name;
    for (const MetricValue& value : values) {
      EXPECT_TRUE(std::isfinite(value.estimate.value)) << entry.name;
      EXPECT_FALSE(value.metric.empty());
      EXPECT_FALSE(value.unit.empty());
    }
    // It says whether a score network has what it needs.
    MetricInput without = input;
    without.energy = nullptr;
    without.jet = nullptr;
    if (entry.needs_energy)
      EXPECT_THROW(entry.evaluate(without), RequestError) << entry.name;
    else
      EXPECT_NO_THROW(entry.evaluate(without)) << entry.name;
    // Without any input the error names the metric.
    try {
      entry.evaluate(MetricInput());
      ADD_FAILURE() << entry.name;
    } catch (const RequestError& error) {
      EXPECT_NE(std::string(error.what()).find(entry.name), std::string::npos);
    }
  }
}

TEST(MetricTable, ValuesAreThoseOfTheMetrics) {
  MetricInput input = full_input();
  const double log_z = find_metric("log_z").evaluate(input)[0].estimate.value;
  EXPECT_NEAR(log_z, std::log(2 * M_PI), 1e-7);
  const double plain = find_metric("log_likelihood").evaluate(input)[0].estimate.value;
  EXPECT_NEAR(plain, -input.data.square().sum(1).mean().item<double>() / 2 - std::log(2 * M_PI), 1e-7);
  input.log_jacobian = -1.5;
  EXPECT_NEAR(find_metric("log_likelihood").evaluate(input)[0].estimate.value, plain - 1.5, 1e-12);
  EXPECT_EQ(find_metric("accuracy").evaluate(input)[0].estimate.value, 1);
  const std::vector<MetricValue> chains = find_metric("chains").evaluate(input);
  ASSERT_EQ(chains.size(), 16u);
  EXPECT_EQ(chains[5].settings, (NamedStrings{{"of", "x.1"}}));
  input.chains = Rng(4, "chains").normal({50, 2, 20}, at::kDouble);
  input.chains.select(2, 7).add_(at::tensor({-2.0, 2.0}, at::kDouble));
  input.chains.select(2, 3).fill_(1);
  const std::vector<MetricValue> worst = find_metric("chains").evaluate(input);
  ASSERT_EQ(worst.size(), 11u);
  EXPECT_EQ(worst[5].settings, (NamedStrings{{"of", "worst coordinate"}}));
  EXPECT_GT(worst[5].estimate.value, 1.5);
  EXPECT_LT(worst[6].estimate.value, 10);
  const std::vector<MetricValue> scores = find_metric("auroc").evaluate(input);
  ASSERT_EQ(scores.size(), 3u);
  EXPECT_EQ(scores[0].settings, (NamedStrings{{"out", "far"}, {"score", "log_density"}}));
  EXPECT_GT(scores[0].estimate.value, 0.8);
}

TEST(MetricTable, UnknownNamesGetAHint) {
  try {
    find_metric("aurok");
    FAIL();
  } catch (const RequestError& error) {
    EXPECT_NE(std::string(error.what()).find("did you mean 'auroc'"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace gibbsite
