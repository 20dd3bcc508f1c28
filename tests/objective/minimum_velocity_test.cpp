#include <gibbsite/data/density.h>
#include <gibbsite/manifold/geodesic_jet.h>
#include <gibbsite/objective/denoising.h>
#include <gibbsite/objective/minimum_velocity.h>
#include <gibbsite/sampler/langevin.h>
#include <gibbsite/sampler/stein.h>
#include <gtest/gtest.h>

#include "objective/objective_helpers.h"

namespace gibbsite {
namespace {

const torch::TensorOptions kFloat64 = torch::dtype(torch::kDouble);

std::shared_ptr<const Manifold> sphere(std::int64_t d) {
  return find_entry(manifold_table(), "manifold", "sphere", "").make(Config::table({{"dimension", Config(d)}}));
}

ScalarFunction function(EnergyFn value) { return {std::move(value), {}}; }

MinimumVelocityOptions settings(const char* dynamics, const char* form, double epsilon = 1e-3) {
  MinimumVelocityOptions options;
  options.dynamics = dynamics;
  options.form = form;
  options.epsilon = epsilon;
  options.derivative = "autograd";
  return options;
}

Tensor terms(const MinimumVelocityOptions& options, const ScalarFunction& f, const Tensor& x,
             const std::shared_ptr<const Manifold>& manifold = nullptr, const Tensor& log_density = {},
             const char* stream = "mvl") {
  Rng rng(4, stream);
  return minimum_velocity_terms(options, f, manifold, x, rng, log_density);
}

double average(const Tensor& t) { return t.mean().item<double>(); }
double error_of_mean(const Tensor& t) { return t.std().item<double>() / std::sqrt(static_cast<double>(t.numel())); }

// An energy on R³ that is not special on any sphere.
Tensor curvy(const Tensor& y) {
  const Tensor a = y.select(1, 0), b = y.select(1, 1), c = y.select(1, 2);
  return (1.3 * a + 0.4 * b * c).sin() + 0.5 * (0.7 * b - c).exp() + 0.3 * a * c;
}

// Acceptance check 1: for E = ½xᵀAx the mean over the noise is xᵀA²x - 2 tr A - (ε/4) xᵀA³x, at any ε.
TEST(MinimumVelocity, OfAQuadraticIsItsClosedForm) {
  const Tensor half = torch::tensor({{1.0, 0.4, 0.0}, {0.2, 0.8, -0.3}, {0.1, 0.0, 1.2}}, torch::kDouble);
  const Tensor a = half.mm(half.t()), one = torch::tensor({{0.7, -1.1, 0.4}}, torch::kDouble);
  const ScalarFunction f = function([&](const Tensor& x) { return 0.5 * (x.mm(a) * x).sum(1); });
  const Tensor x = one.expand({200000, 3});
  const auto form = [&](const Tensor& m) { return one.mm(m).mm(one.t()).item<double>(); };
  const double limit = form(a.mm(a)) - 2 * a.trace().item<double>();
  for (const double epsilon : {1e-5, 0.1, 0.8}) {
    const Tensor t = terms(settings("langevin", "difference", epsilon), f, x);
    EXPECT_NEAR(average(t), limit - epsilon / 4 * form(a.mm(a).mm(a)), 4 * error_of_mean(t)) << epsilon;
  }
  EXPECT_GT(0.8 / 4 * form(a.mm(a).mm(a)), 0.2);  // the term in ε is seen
  for (const char* law : {"rademacher", "gaussian"}) {
    MinimumVelocityOptions options = settings("langevin", "limit");
    options.projection = law;
    const Tensor t = terms(options, f, x);
    EXPECT_NEAR(average(t), limit, 4 * error_of_mean(t)) << law;
  }
  MinimumVelocityOptions exact = settings("langevin", "limit");
  exact.exact = true;
  EXPECT_LT((terms(exact, f, x.narrow(0, 0, 2)) - limit).abs().max().item<double>(), 1e-12);
  exact.scale = "hyvarinen";
  EXPECT_LT((terms(exact, f, x.narrow(0, 0, 2)) - limit / 2).abs().max().item<double>(), 1e-12);
  // The adaptive step estimates the same limit.
  MinimumVelocityOptions adaptive = settings("langevin", "difference", 1e-5);
  adaptive.adaptive = true;
  const Tensor t = terms(adaptive, f, x);
  EXPECT_NEAR(average(t), limit, 4 * error_of_mean(t));
  EXPECT_GT((t - terms(settings("langevin", "difference", 1e-5), f, x)).abs().max().item<double>(), 1e-7);
}

// Acceptance check 2: rows of the sheet's table for the banana, mean and variance, MVL and denoising.
TEST(MinimumVelocity, MeansAndVariancesOfTheSheet) {
  const auto banana = find_entry(density_table(), "data set", "banana", "").make(Config::table());
  Rng draw(1, "banana");
  const std::int64_t n = 400000;
  const Tensor x = banana->sample(n, draw, torch::kDouble);
  const ScalarFunction f = function([&](const Tensor& y) { return -banana->log_density(y); });
  struct Line {
    double epsilon, raw, mean, variance, denoising_mean, denoising_variance;
  };
  for (const Line& line :
       {Line{1e-1, 1.65e2, -1.998, 42.4, -1.468, 37.9}, Line{1e-3, 1.5e4, -1.886, 40.9, -1.881, 40.8},
        Line{1e-5, 1.5e6, -1.885, 40.9, -1.885, 40.9}}) {
    MinimumVelocityOptions options = settings("langevin", "difference", line.epsilon);
    const Tensor with = terms(options, f, x).detach();
    EXPECT_NEAR(average(with), line.mean, 4 * error_of_mean(with) + 0.006) << line.epsilon;
    EXPECT_NEAR(with.var().item<double>() / line.variance, 1, 0.06) << line.epsilon;
    options.control_variate = false;
    EXPECT_NEAR(terms(options, f, x).detach().var().item<double>() / line.raw, 1, 0.06) << line.epsilon;
    Rng rng(2, "noise");
    const Tensor noise = rng.normal(x.sizes(), x) * std::sqrt(line.epsilon);
    struct Truth : Score {
      const Density& p;
      explicit Truth(const Density& density) : p(density) {}
      ScoreEval at(const Tensor& y, Rng&) const override { return {p.score(y), {}}; }
    };
    const Tensor denoised = 2 * denoising_terms(Truth(*banana), x, noise, noise / -line.epsilon, true, rng);
    EXPECT_NEAR(average(denoised), line.denoising_mean, 4 * error_of_mean(denoised) + 0.006) << line.epsilon;
    EXPECT_NEAR(denoised.var().item<double>() / line.denoising_variance, 1, 0.06) << line.epsilon;
  }
  MinimumVelocityOptions limit = settings("langevin", "limit");
  EXPECT_NEAR(terms(limit, f, x).detach().var().item<double>() / 18.9, 1, 0.06);
  limit.projection = "gaussian";
  EXPECT_NEAR(terms(limit, f, x).detach().var().item<double>() / 41.2, 1, 0.06);
  limit.exact = true;
  EXPECT_NEAR(terms(limit, f, x).detach().var().item<double>() / 8.6, 1, 0.06);
}

// Mean and standard error of the gradient over many batches of noise.
struct GradientMean {
  Tensor value, error;
};
GradientMean mean_gradient(const Objective& objective, Energy& energy, const Tensor& x, int batches) {
  std::vector<Tensor> all;
  Rng rng(9, "objective");
  Batch batch;
  batch.x = x;
  for (int b = 0; b < batches; ++b) {
    std::vector<Tensor> flat;
    for (const Tensor& g : gradients(objective(batch, rng).backward, energy.module())) flat.push_back(g.flatten());
    all.push_back(torch::cat(flat));
  }
  const Tensor stacked = torch::stack(all);
  return {stacked.mean(0), stacked.std(0) / std::sqrt(static_cast<double>(batches))};
}

Tensor flat_gradient(const std::vector<Tensor>& list) {
  std::vector<Tensor> flat;
  flat.reserve(list.size());
  for (const Tensor& g : list) flat.push_back(g.flatten());
  return torch::cat(flat);
}

// Acceptance check 3, for every way to the same gradient; without the drift's share of it the test fails.
TEST(MinimumVelocity, GradientsAreThoseOfTheExactLoss) {
  auto energy = make_energy("inner_product", {3}, Config::table({{"hidden", Config::array({Config(6)})}}));
  scale_parameters(energy->module(), 1.7);
  const Tensor x = Rng(4, "x").normal({8, 3}, at::kDouble).repeat({200, 1});
  const Tensor exact =
      2 * flat_gradient(gradients(*make_objective("exact_score_matching", *energy, Config::table()), *energy, x));
  const auto worst_error = [&](const Config& options) {
    const GradientMean found = mean_gradient(*make_objective("mvl", *energy, options), *energy, x, 60);
    return ((found.value - exact) / (found.error + 2e-4 * exact.abs().max())).abs().max().item<double>();
  };
  const Config difference = Config::table({{"form", Config("difference")}, {"epsilon", Config(1e-4)}});
  EXPECT_LT(worst_error(difference), 4.5);
  EXPECT_LT(worst_error(with(difference, {{"adaptive", Config(true)}})), 4.5);
  EXPECT_LT(worst_error(with(difference, {{"negatives", Config("frozen")}})), 4.5);
  EXPECT_LT(worst_error(Config::table()), 4.5);
  EXPECT_LT(worst_error(Config::table({{"projection", Config("gaussian")}, {"derivative", Config("autograd")}})), 4.5);
  const Config all = Config::table({{"exact", Config(true)}});
  EXPECT_LT(
      (mean_gradient(*make_objective("mvl", *energy, all), *energy, x, 2).value - exact).abs().max().item<double>(),
      1e-10);
  // Denoising with its control variate, at a variance where its bias is below its noise.
  const Config denoising = Config::table({{"sigma", Config(3e-3)}, {"control_variate", Config(true)}});
  const GradientMean found = mean_gradient(*make_objective("dsm", *energy, denoising), *energy, x, 60);
  EXPECT_LT(((2 * found.value - exact) / (2 * found.error + 2e-4 * exact.abs().max())).abs().max().item<double>(), 4.5);
  // Twice the gradient of ‖∇E‖² instead of once is told apart.
  const Tensor wrong = exact + 0.5 * flat_gradient([&] {
                                 const Tensor at = x.clone().requires_grad_();
                                 const Tensor g =
                                     torch::autograd::grad({energy->energy(at).sum()}, {at}, {}, true, true)[0];
                                 return gradients(g.square().sum(1).mean(), energy->module());
                               }());
  const GradientMean right = mean_gradient(*make_objective("mvl", *energy, difference), *energy, x, 60);
  EXPECT_GT(((right.value - wrong) / (right.error + 2e-4 * exact.abs().max())).abs().max().item<double>(), 20);
}

TEST(DenoisingControlVariate, ChangesTheLossByItsConstantOnly) {
  auto energy = make_energy("inner_product", {3}, Config::table({{"hidden", Config::array({Config(6)})}}));
  const Tensor x = Rng(4, "x").normal({60000, 3}, at::kDouble);
  for (const char* law : {"gaussian", "student"}) {
    const Config plain = Config::table({{"sigma", Config(0.5)}, {"law", Config(law)}});
    const auto raw = make_objective("dsm", *energy, plain);
    const auto controlled = make_objective("dsm", *energy, with(plain, {{"control_variate", Config(true)}}));
    const Tensor a = flat_gradient(gradients(*raw, *energy, x)), b = flat_gradient(gradients(*controlled, *energy, x));
    // The difference of the gradients is that of t·s(x), of mean 0.
    EXPECT_LT((a - b).norm().item<double>() / b.norm().item<double>(), 0.08) << law;
    EXPECT_GT((a - b).norm().item<double>(), 0) << law;
  }
}

// --- manifolds -------------------------------------------------------------------------------------------------------

// Stereographic coordinates (mvl.md 2.3): y = inverse(z), first coordinates (1 + y_last) z, last (1 - ‖z‖²)/(1 + ‖z‖²).
Tensor from_chart(const Tensor& z) {
  const Tensor s = z.square().sum(1, true), last = (1 - s) / (1 + s);
  return torch::cat({(1 + last) * z, last}, 1);
}
Tensor to_chart(const Tensor& y) {
  const std::int64_t n = y.size(1) - 1;
  return y.narrow(1, 0, n) / (1 + y.narrow(1, n, 1));
}

// The geometric drift of the chart, ½g⁻¹∂log|G| + ∂_j g^{ij}, from the metric by autograd; `sign` -1 is what the paper prints.
Tensor chart_drift(const Tensor& z, double sign = 1) {
  const std::int64_t n = z.size(1);
  const Tensor at = z.detach().requires_grad_();
  const Tensor inverse = (1 + at.square().sum(1)).square() / 4;  // g^{ij} = inverse δ_ij
  const Tensor log_g = -static_cast<double>(n) * inverse.log();
  const Tensor slope = torch::autograd::grad({log_g.sum()}, {at}, {}, true)[0];
  const Tensor divergence = torch::autograd::grad({inverse.sum()}, {at})[0];
  return (sign * 0.5 * inverse.unsqueeze(1) * slope + divergence).detach();
}

// Points with last coordinate above 0, so that the chart is good.
Tensor upper_points(std::int64_t n, std::int64_t d) {
  Rng rng(7, "upper");
  Tensor y = sphere(d)->sample(n, rng, torch::empty({0}, kFloat64));
  return torch::cat({y.narrow(1, 0, d), y.narrow(1, d, 1).abs()}, 1);
}

// Acceptance check 4, first half (the second is the uniform law of tests/sampler/manifold_test.cpp).
TEST(MinimumVelocityOnManifolds, TheChartOfAConstantEnergyDriftsAsItMust) {
  for (const std::int64_t n : {1, 2, 3, 5}) {
    const Tensor z = to_chart(upper_points(20, n)), factor = 1 + z.square().sum(1, true);
    EXPECT_LT((chart_drift(z) - (1 - 0.5 * static_cast<double>(n)) * factor * z).abs().max().item<double>(), 1e-13);
    // The embedded step of a constant energy has no drift either way: the mean over ±noise stays on the ray.
    const auto m = sphere(n);
    const Tensor y = from_chart(z);
    Rng rng(8, "noise");
    const Tensor noise = 0.3 * m->tangent_noise(y, rng), none = torch::zeros_like(y);
    const Tensor both = langevin_update(y, none, noise, 0.1, m.get()) + langevin_update(y, none, -noise, 0.1, m.get());
    EXPECT_LT(m->project_tangent(y, both).abs().max().item<double>(), 1e-13);
  }
  const Tensor z = to_chart(upper_points(20, 2));
  EXPECT_LT((chart_drift(z, -1) - 2 * (1 + z.square().sum(1, true)) * z).abs().max().item<double>(), 1e-12);
}

// Nodes and weights of a standard normal expectation, from the Jacobi matrix of its polynomials.
std::pair<Tensor, Tensor> hermite(std::int64_t n) {
  const Tensor off = torch::arange(1, n, kFloat64).sqrt();
  const auto [nodes, vectors] = torch::linalg_eigh(torch::diag(off, 1) + torch::diag(off, -1));
  return {nodes, vectors.select(0, 0).square()};
}

// (2/ε)[E(y) - mean E(y⁻)] by cubature over the noise, exact to rounding; of one point y, [1, 3].
double chart_value(const Tensor& y, double epsilon) {
  const auto [nodes, weights] = hermite(24);
  const auto grid = torch::meshgrid({nodes, nodes}, "ij");
  const Tensor noise = torch::stack({grid[0].flatten(), grid[1].flatten()}, 1);
  const Tensor weight = torch::outer(weights, weights).flatten();
  const Tensor z = to_chart(y), at = z.clone().requires_grad_();
  const Tensor slope = torch::autograd::grad({curvy(from_chart(at)).sum()}, {at})[0];
  const double factor = (1 + z.square().sum()).item<double>();
  const Tensor to =
      z + epsilon * (-0.5 * factor * factor / 4 * slope + chart_drift(z)) + std::sqrt(2 * epsilon) * factor / 2 * noise;
  return 2 / epsilon * (curvy(y).item<double>() - (weight * curvy(from_chart(to))).sum().item<double>());
}

double embedded_value(const Tensor& y, double epsilon) {
  const auto [nodes, weights] = hermite(24);
  const auto grid = torch::meshgrid({nodes, nodes}, "ij");
  const Tensor weight = torch::outer(weights, weights).flatten();
  const auto m = sphere(2);
  const Tensor at = y.expand({weight.size(0), 3}).contiguous();
  Target target;
  target.energy = [](const Tensor& x) { return 0.5 * curvy(x); };
  target.manifold = m;
  const Tensor noise = std::sqrt(2 * epsilon) * m->lift(at, torch::stack({grid[0].flatten(), grid[1].flatten()}, 1));
  const Tensor to = langevin_update(at, score_of(target, at), noise, 2 * epsilon, m.get());
  return 2 / epsilon * (curvy(y).item<double>() - (weight * curvy(to)).sum().item<double>());
}

// The value at ε = 0 of a function with a power series in ε, by Neville's scheme.
double extrapolated(const std::function<double(double)>& f) {
  const int levels = 8;
  std::vector<double> value;
  value.reserve(levels);
  for (int k = 0; k < levels; ++k) value.push_back(f(0.04 * std::pow(0.5, k)));
  for (int order = 1; order < levels; ++order)
    for (int k = levels - 1; k >= order; --k) {
      const auto i = static_cast<std::size_t>(k);
      value[i] += (value[i] - value[i - 1]) / (std::pow(2.0, order) - 1);
    }
  return value.back();
}

TEST(MinimumVelocityOnManifolds, ChartAndEmbeddedFormsMeetInTheLimit) {
  MinimumVelocityOptions exact = settings("langevin", "limit");
  exact.exact = true;
  const Tensor points = upper_points(4, 2);
  for (std::int64_t i = 0; i < 4; ++i) {
    const Tensor y = points.narrow(0, i, 1);
    const double limit = terms(exact, function(curvy), y, sphere(2)).item<double>();
    const double chart = extrapolated([&](double e) { return chart_value(y, e); });
    const double embedded = extrapolated([&](double e) { return embedded_value(y, e); });
    EXPECT_NEAR(chart, limit, 1e-9);
    EXPECT_NEAR(embedded, limit, 1e-9);
    std::vector<double> steps = {0.0025, 0.005, 0.01, 0.02}, apart;
    apart.reserve(steps.size());
    for (const double e : steps) apart.push_back(std::abs(chart_value(y, e) - embedded_value(y, e)));
    EXPECT_NEAR(log_slope(steps, apart), 1, 0.15) << i;
    EXPECT_GT(apart.back(), 1e-4);
  }
}

// Jets along geodesics against the Laplace–Beltrami operator of the chart, Δ = |G|^-½ ∂_i(|G|^½ g^{ij} ∂_j).
TEST(MinimumVelocityOnManifolds, LimitIsTheLaplaceBeltramiOperatorOfTheChart) {
  auto energy = make_energy("inner_product", {3}, Config::table({{"hidden", Config::array({Config(8), Config(8)})}}));
  scale_parameters(energy->module(), 2);
  const Tensor y = upper_points(12, 2), z = to_chart(y).requires_grad_();
  const Tensor value = energy->energy(from_chart(z));
  const Tensor slope = torch::autograd::grad({value.sum()}, {z}, {}, true, true)[0];
  const Tensor inverse = (1 + z.square().sum(1, true)).square() / 4, root = 1 / inverse;  // |G|^½ in two dimensions
  const Tensor flux = root * inverse * slope;
  Tensor laplacian = torch::zeros({12}, kFloat64);
  for (int i = 0; i < 2; ++i)
    laplacian = laplacian + torch::autograd::grad({flux.select(1, i).sum()}, {z}, {}, true)[0].select(1, i);
  laplacian = laplacian / root.squeeze(1);
  const Tensor expected = ((inverse * slope * slope).sum(1) - 2 * laplacian).detach();
  for (const char* derivative : {"jet", "autograd"}) {
    MinimumVelocityOptions options = settings("langevin", "limit");
    options.derivative = derivative;
    options.exact = true;
    EXPECT_LT((terms(options, scalar_function(*energy), y, sphere(2)) - expected).abs().max().item<double>(), 1e-10);
  }
  EXPECT_LT(
      (2 * riemannian_loss_terms(scalar_function(*energy), sphere(2).get(), y) - expected).abs().max().item<double>(),
      1e-10);
  // Random directions by jets have this mean, Rademacher ones less variance; the difference tends to it.
  const Tensor many = y.narrow(0, 0, 1).expand({100000, 3}).contiguous();
  double variance[2];
  int k = 0;
  for (const char* law : {"gaussian", "rademacher"}) {
    MinimumVelocityOptions options = settings("langevin", "limit");
    options.derivative = "jet";
    options.projection = law;
    const Tensor t = terms(options, scalar_function(*energy), many, sphere(2)).detach();
    EXPECT_NEAR(average(t), expected[0].item<double>(), 4 * error_of_mean(t));
    variance[k++] = t.var().item<double>();
  }
  EXPECT_LT(variance[1], variance[0]);
  const Tensor t = terms(settings("langevin", "difference", 1e-5), scalar_function(*energy), many, sphere(2)).detach();
  EXPECT_NEAR(average(t), expected[0].item<double>(), 4 * error_of_mean(t) + 1e-3);
}

// --- other dynamics --------------------------------------------------------------------------------------------------

// Kernelised Stein discrepancy without the trace, pair by pair: mean of k g·g' - 2 g·∇'k, g and g' gradients of E.
Tensor stein_by_pairs(const EnergyFn& energy, const Tensor& x, double b) {
  const Tensor at = x.detach().requires_grad_();
  const Tensor g = torch::autograd::grad({energy(at).sum()}, {at}, {}, true, true)[0];
  const auto n = x.size(0);
  Tensor sum = torch::zeros({}, kFloat64);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      const Tensor apart = x[i] - x[j], k = (apart.square().sum() / (-2 * b)).exp();
      sum = sum + k * g[i].dot(g[j]) - 2 * g[i].dot(k * apart / b);
    }
  return sum / static_cast<double>(n * n);
}

TEST(MinimumVelocity, SteinDynamicsGiveTheKernelisedDiscrepancy) {
  auto energy = make_energy("inner_product", {2}, Config::table({{"hidden", Config::array({Config(6)})}}));
  const EnergyFn e = [&](const Tensor& x) { return energy->energy(x); };
  const ScalarFunction f = scalar_function(*energy);
  const Tensor x = Rng(3, "x").normal({14, 2}, at::kDouble);
  const double b = median_bandwidth(x);
  const Tensor expected = stein_by_pairs(e, x, b), found = terms(settings("svgd", "limit"), f, x).mean();
  EXPECT_NEAR(found.item<double>(), expected.item<double>(), 1e-8);
  const auto expected_gradient = gradients(expected, energy->module());
  EXPECT_LT(worst(gradients(found, energy->module()), expected_gradient), 1e-8);
  std::vector<double> steps = {1e-3, 3e-3, 1e-2, 3e-2}, values, slopes;
  for (const double epsilon : steps) {
    const Tensor at = terms(settings("svgd", "difference", epsilon), f, x).mean();
    values.push_back(std::abs(at.item<double>() - expected.item<double>()));
    slopes.push_back(worst(gradients(at, energy->module()), expected_gradient));
  }
  EXPECT_NEAR(log_slope(steps, values), 1, 0.1);
  EXPECT_NEAR(log_slope(steps, slopes), 1, 0.1);
}

TEST(MinimumVelocity, TheMixtureIsAMixture) {
  auto energy = make_energy("inner_product", {2}, Config::table({{"hidden", Config::array({Config(6)})}}));
  const ScalarFunction f = scalar_function(*energy);
  const Tensor x = Rng(3, "x").normal({14, 2}, at::kDouble);
  const double stein =
      stein_by_pairs([&](const Tensor& y) { return energy->energy(y); }, x, median_bandwidth(x)).item<double>();
  const double fisher =
      2 * evaluate(*make_objective("exact_score_matching", *energy, Config::table()), *energy, x).value;
  const Tensor at = x.clone().requires_grad_();
  const double norm = average(torch::autograd::grad({f.value(at).sum()}, {at})[0].square().sum(1));
  for (const double mix : {0.0, 0.5, 1.0}) {
    MinimumVelocityOptions options = settings("spos", "limit");
    options.mix = mix;
    options.exact = true;
    EXPECT_NEAR(average(terms(options, f, x)), mix * stein + (1 - mix) * fisher, 1e-8) << mix;
    options.noise_law = "published";
    const double curvature = (1 - mix) * (1 - mix) * (fisher - norm);
    EXPECT_NEAR(average(terms(options, f, x)), mix * stein + (1 - mix) * norm + curvature, 1e-8) << mix;
    // The difference over a small step, whose batch is one: many draws of the noise.
    for (const char* law : {"flow", "published"}) {
      MinimumVelocityOptions step = settings("spos", "difference", 1e-4);
      step.mix = mix;
      step.noise_law = options.noise_law = law;
      const double limit = average(terms(options, f, x));
      const int repeats = 400;
      std::vector<double> draws;
      draws.reserve(repeats);
      Rng rng(5, "draws");
      for (int k = 0; k < repeats; ++k) draws.push_back(average(minimum_velocity_terms(step, f, nullptr, x, rng)));
      const Tensor all = torch::tensor(draws, torch::kDouble);
      EXPECT_NEAR(average(all), limit, 4 * error_of_mean(all) + 3e-3) << mix << " " << law;
    }
  }
}

// On N(0, s²) with E = x²/2 and the exact log p: with what does not depend on E the limit is (s² - 1)²/s² + ½(s² - 1)².
TEST(MinimumVelocity, BirthsAndDeathsOnAGaussian) {
  const std::int64_t n = 200000;
  for (const double s : {0.6, 1.0, 1.7}) {
    // Quantiles stand for the population: moments are exact to the resolution of the tails.
    const Tensor u = (torch::arange(n, kFloat64) + 0.5) / n;
    const Tensor x = (s * std::sqrt(2.0) * torch::erfinv(2 * u - 1)).unsqueeze(1);
    const Tensor log_p = -0.5 * (x.squeeze(1) / s).square();
    const ScalarFunction f = function([](const Tensor& y) { return 0.5 * y.square().sum(1); });
    MinimumVelocityOptions options = settings("birth_death", "limit");
    options.bandwidth = 1;  // unread
    const double free = 1 / (s * s) + 0.5, v = s * s - 1;
    const double expected = v * v / (s * s) + 0.5 * v * v;
    EXPECT_NEAR(average(terms(options, f, x, nullptr, log_p)) + free, expected, 2e-3) << s;
    const Tensor t =
        terms(settings("birth_death", "difference", 1e-4), f, x.narrow(0, 0, 1000), nullptr, log_p.narrow(0, 0, 1000));
    EXPECT_TRUE(t.isfinite().all().item<bool>());
  }
  // A finite step tends to the limit, weights and all, in value and gradient.
  auto energy = make_energy("inner_product", {2}, Config::table({{"hidden", Config::array({Config(5)})}}));
  const ScalarFunction f = scalar_function(*energy);
  const Tensor x = Rng(3, "x").normal({30, 2}, at::kDouble);
  MinimumVelocityOptions limit = settings("birth_death", "limit");
  limit.exact = true;
  const Tensor exact = terms(limit, f, x).mean();
  const auto expected = gradients(exact, energy->module());
  std::vector<double> values;
  std::vector<Tensor> sums;
  Rng rng(5, "draws");
  for (int k = 0; k < 600; ++k) {
    const Tensor one = minimum_velocity_terms(settings("birth_death", "difference", 1e-4), f, nullptr, x, rng).mean();
    values.push_back(one.item<double>());
    sums.push_back(flat_gradient(gradients(one, energy->module())));
  }
  const Tensor all = torch::tensor(values, torch::kDouble), slopes = torch::stack(sums);
  EXPECT_NEAR(average(all), exact.item<double>(), 4 * error_of_mean(all) + 2e-3);
  const Tensor error = (slopes.mean(0) - flat_gradient(expected)).abs() /
                       (slopes.std(0) / std::sqrt(600.0) + 1e-3 * flat_gradient(expected).abs().max());
  EXPECT_LT(error.max().item<double>(), 4.5);
}

TEST(MinimumVelocity, EveryFormRepeatsAndRunsOnASphere) {
  auto energy = make_energy("inner_product", {3}, Config::table({{"hidden", Config::array({Config(5)})}}));
  const Tensor y = upper_points(10, 2);
  for (const char* dynamics : {"langevin", "svgd", "spos", "birth_death"})
    for (const char* form : {"limit", "difference"}) {
      ObjectiveParts parts;
      parts.energy = energy.get();
      parts.manifold = sphere(2);
      Config options =
          Config::table({{"dynamics", Config(dynamics)}, {"form", Config(form)}, {"magnitude", Config(1e-3)}});
      if (std::string(form) == "difference") options.set("epsilon", Config(1e-7));
      const auto objective = find_entry(objective_table(), "objective", "mvl", "").make(options, parts);
      const Evaluated first = evaluate(*objective, *energy, y), again = evaluate(*objective, *energy, y);
      EXPECT_EQ(first.value, again.value);
      EXPECT_EQ(worst(first.gradients, again.gradients), 0);
      EXPECT_TRUE(std::isfinite(first.value));
    }
}

}  // namespace
}  // namespace gibbsite
