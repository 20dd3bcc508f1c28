#include <gibbsite/core/error.h>
#include <gibbsite/model/classifier.h>
#include <gibbsite/model/energy.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

std::unique_ptr<Energy> make(const std::string& name, const Shape& event, const Config& config) {
  ModelContext context;
  context.event = event;
  context.init = Rng(3, "init");
  context.dtype = at::kDouble;
  return find_entry(energy_table(), "model", name, "").make(config, context);
}

Shape event_for(const std::string& name) { return name == "mlp" || name == "quadratic" ? Shape{3} : Shape{1, 8, 8}; }

Tensor points(const Shape& event, std::int64_t n, const char* stream = "x") {
  Shape sizes = event;
  sizes.insert(sizes.begin(), n);
  return Rng(4, stream).normal(sizes, at::kDouble);
}

std::int64_t parameter_count(Energy& energy) {
  std::int64_t count = 0;
  for (const Tensor& parameter : energy.module().parameters()) count += parameter.numel();
  return count;
}

// Contract over the table: [B] energies, examples never mix, the score is the finite difference, jets are the derivatives.
TEST(EnergyTable, Contract) {
  for (const Entry<MakeEnergy>& entry : energy_table()) {
    const Shape event = event_for(entry.name);
    auto energy = make(entry.name, event, entry.smallest);
    const Tensor x = points(event, 4), e = energy->energy(x);
    ASSERT_EQ(e.sizes(), at::IntArrayRef({4})) << entry.name;
    EXPECT_EQ(energy->event(), event);
    Tensor changed = x.clone();
    changed[1] += 1;
    const Tensor after = energy->energy(changed);
    for (const int row : {0, 2, 3}) EXPECT_NEAR(after[row].item<double>(), e[row].item<double>(), 1e-12) << entry.name;
    EXPECT_NE(after[1].item<double>(), e[1].item<double>()) << entry.name;

    const Tensor s = score(*energy, x), v = points(event, 4, "v");
    const double step = 1e-5;
    const Tensor slope = (energy->energy(x + step * v) - energy->energy(x - step * v)) / (2 * step);
    EXPECT_TRUE(at::allclose(-sum_event(s * v), slope, 1e-7, 1e-8)) << entry.name;

    ASSERT_TRUE(energy->has_jet()) << entry.name;
    const ScalarFunction f = scalar_function(*energy);
    const Tensor gradient = sum_event(hessian_vector_product(f.value, x, v) * v);
    EXPECT_TRUE(at::allclose(directional_derivative(f, x, v, 2), gradient, 1e-9, 1e-10)) << entry.name;
    // The same seed gives the same parameters; another does not.
    auto again = make(entry.name, event, entry.smallest);
    EXPECT_TRUE(torch::equal(again->energy(x), e)) << entry.name;
  }
}

// Orders 1 to 6 by jets against nested reverse passes through LibTorch's own operations.
TEST(Energy, JetsOfOrderSixEqualNestedAutograd) {
  const auto mlp = [](const char* operations) {
    return Config::table(
        {{"hidden", Config::array({Config(16), Config(16), Config(16)})}, {"operations", Config(operations)}});
  };
  const auto residual = [](const char* operations) {
    return Config::table(
        {{"filters", Config(2)}, {"stages", Config(2)}, {"blocks", Config(2)}, {"operations", Config(operations)}});
  };
  struct Case {
    const char* name;
    Shape event;
    Config fast, stock;
  };
  for (const Case& c : {Case{"mlp", {5}, mlp("fast"), mlp("stock")},
                        Case{"residual", {1, 8, 8}, residual("fast"), residual("stock")}}) {
    auto fast = make(c.name, c.event, c.fast), stock = make(c.name, c.event, c.stock);
    const Tensor x = points(c.event, 3), v = points(c.event, 3, "v");
    for (std::int64_t order = 1; order <= 6; ++order) {
      const Tensor truth = directional_derivative(scalar_function(*stock), x, v, order, DerivativeMethod::kAutograd);
      const Tensor jet = directional_derivative(scalar_function(*fast), x, v, order, DerivativeMethod::kJet);
      EXPECT_LE(((jet - truth).norm() / truth.norm()).item<double>(), 1e-9) << c.name << " order " << order;
    }
  }
}

TEST(ResidualEnergy, ParameterCountsOfTheSheet) {
  EXPECT_EQ(parameter_count(*make("residual", {1, 32, 32}, Config::table({{"filters", Config(16)}}))), 980707);
  EXPECT_EQ(parameter_count(*make("residual", {1, 32, 32}, Config::table({{"filters", Config(32)}}))), 3907523);
}

TEST(ResidualEnergy, RefusesEventsThatAreNoImages) {
  EXPECT_THROW(make("residual", {5}, Config::table()), RequestError);
  EXPECT_THROW(make("residual", {1, 4, 4}, Config::table()), RequestError);
}

TEST(Classifier, EnergyIsMinusLogSumOfExpLogits) {
  auto energy = make("classifier", {1, 8, 8}, Config::table({{"filters", Config(2)}, {"features", Config(4)}}));
  const auto& classifier = dynamic_cast<const Classifier&>(*energy);
  const Tensor x = points({1, 8, 8}, 5), logits = classifier.logits(x);
  EXPECT_EQ(logits.sizes(), at::IntArrayRef({5, 10}));
  EXPECT_EQ(classifier.features(x).sizes(), at::IntArrayRef({5, 4}));
  EXPECT_TRUE(at::allclose(energy->energy(x), -logits.exp().sum(1).log(), 1e-12));
}

TEST(MlpEnergy, SkipNormConfinementAndQuadraticHeadKeepTheirJets) {
  const Config options = Config::table({{"hidden", Config::array({Config(6), Config(6)})},
                                        {"skip", Config(true)},
                                        {"norm", Config(true)},
                                        {"confinement", Config(0.3)},
                                        {"head", Config("quadratic")},
                                        {"activation", Config("tanh")}});
  auto energy = make("mlp", {3}, options);
  const Tensor x = points({3}, 4), v = points({3}, 4, "v");
  const ScalarFunction f = scalar_function(*energy);
  for (std::int64_t order = 1; order <= 4; ++order) {
    const Tensor truth = directional_derivative(f, x, v, order, DerivativeMethod::kAutograd);
    EXPECT_LE(((directional_derivative(f, x, v, order) - truth).norm() / truth.norm()).item<double>(), 1e-9) << order;
  }
  EXPECT_EQ(energy->layers().size(), 2u);
  EXPECT_EQ(energy->layers()[0].kind, "tanh");
}

}  // namespace
}  // namespace gibbsite
