#include <gibbsite/core/error.h>
#include <gibbsite/model/nice.h>
#include <gibbsite/nn/trace.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

struct Model {
  std::unique_ptr<Energy> energy;
  const Nice& nice() const { return dynamic_cast<const Nice&>(*energy); }
  Tensor parameter(const std::string& name) const {
    Tensor found = energy->module().named_parameters()[name];
    found.requires_grad_(false);
    return found;
  }
};

// The scale starts at 0; tests need one that shows.
Model make(const Shape& event, const Config& options, at::ScalarType dtype = at::kDouble) {
  ModelContext context;
  context.event = event;
  context.init = Rng(3, "init");
  context.dtype = dtype;
  Model model{find_entry(energy_table(), "model", "nice", "").make(options, context)};
  const at::NoGradGuard no_grad;
  Tensor log_scale = model.energy->module().named_parameters()["log_scale"];
  log_scale.copy_(0.3 * Rng(5, "scale").normal({1, log_scale.size(0)}, log_scale)[0]);
  return model;
}

Config widths(std::initializer_list<int> hidden, const char* operations = "fast") {
  std::vector<Config> items(hidden.begin(), hidden.end());
  return Config::table({{"hidden", Config::array(std::move(items))}, {"operations", Config(operations)}});
}

Tensor points(const Shape& event, std::int64_t n, at::ScalarType dtype = at::kDouble, const char* stream = "x") {
  Shape sizes = event;
  sizes.insert(sizes.begin(), n);
  return Rng(4, stream).normal(sizes, dtype);
}

TEST(Nice, InverseUndoesForward) {
  for (const Shape& event : {Shape{1, 28, 28}, Shape{2}, Shape{3, 2, 1}})
    for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
      const Model model = make(event, widths({50, 50}), dtype);
      // Logits of pixels reach ±7.
      const Tensor x = 4 * points(event, 20, dtype), z = model.nice().forward(x);
      const double bound = dtype == at::kFloat ? 1e-5 : 1e-12;
      EXPECT_LE((model.nice().inverse(z) - x).abs().max().item<double>(), bound) << event.size();
      EXPECT_EQ(z.sizes(), at::IntArrayRef({20, event_size(event)}));
    }
}

// Two couplings of one hidden unit, all of it written out.
TEST(Nice, CouplingsTakeTurnsFromTheEvenPlaces) {
  Config options = widths({1});
  options.set("couplings", Config(2));
  const Model model = make({2}, options);
  const auto branch = [&](int k, double t) {
    const std::string name = "coupling" + std::to_string(k) + "_layer";
    const auto number = [&](const std::string& rest) {
      return model.parameter(name + rest).flatten()[0].item<double>();
    };
    return number("2_weight") * std::log1p(std::exp(number("1_weight") * t + number("1_bias"))) + number("2_bias");
  };
  const double a = 0.7, b = -1.3;
  const double second = b + branch(1, a), first = a + branch(2, second);
  const Tensor s = model.parameter("log_scale");
  const double z0 = first * std::exp(s[0].item<double>()), z1 = second * std::exp(s[1].item<double>());
  const Tensor x = torch::tensor({{a, b}}, at::kDouble), z = model.nice().forward(x);
  EXPECT_NEAR(z[0][0].item<double>(), z0, 1e-14);
  EXPECT_NEAR(z[0][1].item<double>(), z1, 1e-14);
  const double log_density = -0.5 * (z0 * z0 + z1 * z1) - std::log(2 * std::acos(-1.0)) + s.sum().item<double>();
  EXPECT_NEAR(model.energy->energy(x)[0].item<double>(), -log_density, 1e-13);
}

TEST(Nice, EnergyIsTheChangeOfVariables) {
  const Model model = make({6}, widths({7, 5}));
  const Tensor x = points({6}, 3);
  for (std::int64_t row = 0; row < 3; ++row) {
    const Tensor at = x.narrow(0, row, 1).detach().requires_grad_(true);
    const Tensor z = model.nice().forward(at).flatten();
    std::vector<Tensor> jacobian;
    for (std::int64_t i = 0; i < 6; ++i) jacobian.push_back(torch::autograd::grad({z[i]}, {at}, {}, true)[0].flatten());
    const double log_det = std::get<1>(torch::linalg_slogdet(torch::stack(jacobian))).item<double>();
    const double log_normal = (-0.5 * z.square().sum()).item<double>() - 3 * std::log(2 * std::acos(-1.0));
    EXPECT_NEAR(model.energy->energy(at).item<double>(), -(log_normal + log_det), 1e-11);
    EXPECT_NEAR(model.nice().log_abs_det().item<double>(), log_det, 1e-12);
  }
}

// The trapezium rule on a box that holds all of the mass converges faster than any power of the spacing.
TEST(Nice, DensityIntegratesToOne) {
  const Model model = make({2}, widths({5}));
  const at::NoGradGuard no_grad;
  const Tensor axis = torch::linspace(-14, 14, 401, at::kDouble);
  const auto grid = torch::meshgrid({axis, axis}, "ij");
  const Tensor x = torch::stack({grid[0].flatten(), grid[1].flatten()}, 1);
  const double cell = 0.07 * 0.07;
  EXPECT_NEAR((-model.energy->energy(x)).exp().sum().item<double>() * cell, 1, 1e-9);
}

TEST(Nice, JetsEqualNestedAutograd) {
  const Model fast = make({1, 4, 4}, widths({6, 6})), stock = make({1, 4, 4}, widths({6, 6}, "stock"));
  const Tensor x = points({1, 4, 4}, 3), v = points({1, 4, 4}, 3, at::kDouble, "v");
  for (std::int64_t order = 1; order <= 4; ++order) {
    const Tensor truth =
        directional_derivative(scalar_function(*stock.energy), x, v, order, DerivativeMethod::kAutograd);
    const Tensor jet = directional_derivative(scalar_function(*fast.energy), x, v, order, DerivativeMethod::kJet);
    EXPECT_LE(((jet - truth).norm() / truth.norm()).item<double>(), 1e-10) << order;
  }
}

// The recursions of approximate back-propagation and curvature propagation go through the couplings as they are: their
// gradient is exact, and the diagonal of curvature propagation is that of the Hessian on average.
TEST(Nice, HessianDiagonalRecursionsFollowTheCouplings) {
  const Model model = make({4}, widths({5, 5}));
  ASSERT_TRUE(model.energy->has_trace());
  const std::int64_t draws = 20000;
  const Tensor x = points({4}, 1);
  const Tensor point = x.clone().requires_grad_(true);
  const Tensor gradient = torch::autograd::grad({model.energy->energy(point).sum()}, {point}, {}, true, true)[0];
  std::vector<Tensor> diagonal;
  for (std::int64_t i = 0; i < 4; ++i)
    diagonal.push_back(torch::autograd::grad({gradient[0][i]}, {point}, {}, true)[0][0][i]);
  const at::NoGradGuard no_grad;
  const Traced start = start_trace(x), energy = *model.energy->traced(start);
  const DiagonalCurvature approximate = approximate_backprop(energy, start, torch::ones({1}, at::kDouble));
  EXPECT_LE((approximate.gradient - gradient).abs().max().item<double>(), 1e-12);
  Rng rng(6, "signs");
  const DiagonalCurvature propagated = curvature_propagation(energy, start, torch::ones({draws, 1}, at::kDouble), rng);
  EXPECT_LE((propagated.gradient - gradient).abs().max().item<double>(), 1e-12);
  const Tensor mean = propagated.diagonal.mean(0)[0];
  const Tensor error = propagated.diagonal.std(0)[0] / std::sqrt(static_cast<double>(draws));
  for (std::int64_t i = 0; i < 4; ++i)
    EXPECT_NEAR(mean[i].item<double>(), diagonal[static_cast<std::size_t>(i)].item<double>(),
                4 * error[i].item<double>());
}

TEST(Nice, SamplesAreTheInverseOfNormals) {
  const Model model = make({1, 2, 3}, widths({5}));
  Rng rng(8, "sample"), same(8, "sample");
  const Tensor x = model.nice().sample(7, rng);
  EXPECT_EQ(x.sizes(), at::IntArrayRef({7, 1, 2, 3}));
  EXPECT_LE((model.nice().forward(x) - same.normal({7, 6}, at::kDouble)).abs().max().item<double>(), 1e-13);
}

TEST(Nice, HasTheParametersOfTheSheetAndNeedsAnEvenNumberOfValues) {
  ModelContext context;
  context.event = {1, 28, 28};
  const auto energy = make_nice({}, context);
  std::int64_t count = 0;
  for (const Tensor& parameter : energy->module().parameters()) count += parameter.numel();
  EXPECT_EQ(count, 15154352);
  context.event = {3, 3};
  EXPECT_THROW(make_nice({}, context), RequestError);
}

}  // namespace
}  // namespace gibbsite
