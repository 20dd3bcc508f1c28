// Latent-variable energies whose latent variables can be summed or integrated out.
#include <gibbsite/core/error.h>
#include <gibbsite/model/gaussian_latent.h>
#include <gibbsite/model/grbm.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

ModelContext context_for(const Shape& event) {
  ModelContext context;
  context.event = event;
  context.init = Rng(3, "init");
  context.dtype = at::kDouble;
  return context;
}

void fill(torch::nn::Module& module, const std::string& name, const Tensor& value) {
  const torch::NoGradGuard no_grad;
  module.named_parameters()[name].copy_(value);
}

// A machine with normal parameters and unequal deviations.
std::unique_ptr<Grbm> machine(const Shape& event, std::int64_t latent, double scale = 0.7) {
  GrbmOptions options;
  options.latent_size = latent;
  options.initial = "normal";
  options.initial_deviation = scale;
  auto grbm = std::make_unique<Grbm>(options, context_for(event));
  fill(grbm->module(), "log_deviation", 0.3 * Rng(5, "sigma").normal({event_size(event)}, at::kDouble));
  return grbm;
}

std::unique_ptr<GaussianLatent> gaussian(const Shape& event, std::int64_t latent) {
  GaussianLatentOptions options;
  options.latent_size = latent;
  options.initial_deviation = 0.4;
  auto model = std::make_unique<GaussianLatent>(options, context_for(event));
  fill(model->module(), "log_deviation", torch::full({}, -0.3, at::kDouble));
  return model;
}

// All of {0, 1}^K as particles of every row: [2^K, B, K].
Tensor all_states(std::int64_t k, std::int64_t rows) {
  std::vector<double> bits;
  for (std::int64_t state = 0; state < std::int64_t{1} << k; ++state)
    for (std::int64_t j = 0; j < k; ++j) bits.push_back(static_cast<double>(state >> j & 1));
  return torch::tensor(bits, at::kDouble).view({-1, 1, k}).expand({-1, rows, k});
}

double number(const Tensor& t) { return t.item<double>(); }

// Contract over the table: joints of particles and rows apart, jets in v, gradients of parameters, the same from a seed.
TEST(LatentModelTable, Contract) {
  for (const Entry<MakeLatentModel>& entry : latent_model_table()) {
    const ModelContext context = context_for({1, 2, 2});
    auto model = entry.make(entry.smallest, context);
    const std::int64_t k = model->latent_size();
    EXPECT_EQ(model->event(), (Shape{1, 2, 2})) << entry.name;
    const Tensor v = Rng(1, "v").normal({4, 1, 2, 2}, at::kDouble), u = Rng(1, "u").normal({4, 1, 2, 2}, at::kDouble);
    const Tensor h = Rng(1, "h").normal({3, 4, k}, at::kDouble), joint = model->joint(v, h);
    ASSERT_EQ(joint.sizes(), (Shape{3, 4})) << entry.name;
    EXPECT_TRUE(torch::equal(entry.make(entry.smallest, context)->joint(v, h), joint)) << entry.name;
    Tensor changed = h.clone(), moved = v.clone();
    changed[2][1] += 1;
    moved[3] += 1;
    const Tensor of_particle = (model->joint(v, changed) - joint).abs();
    EXPECT_GT(number(of_particle[2][1]), 0) << entry.name;
    EXPECT_EQ(number(of_particle.sum()), number(of_particle[2][1])) << entry.name;
    const Tensor of_row = (model->joint(moved, h) - joint).abs().sum(0);
    EXPECT_GT(number(of_row[3]), 0) << entry.name;
    EXPECT_LT(number(of_row.narrow(0, 0, 3).max()), 1e-12) << entry.name;
    for (const Tensor& g : torch::autograd::grad({joint.sum()}, model->module().parameters()))
      EXPECT_GT(number(g.abs().max()), 0) << entry.name;

    const std::optional<Jet> jet = model->joint(seed_jet(v, u, 3), h);
    ASSERT_TRUE(jet) << entry.name;
    EXPECT_TRUE(at::allclose(jet->slice(0), joint, 1e-12, 1e-12)) << entry.name;
    for (std::int64_t l = 0; l < 3; ++l) {
      ScalarFunction f;
      f.value = [&](const Tensor& x) { return model->joint(x, h.narrow(0, l, 1)).squeeze(0); };
      for (std::int64_t order = 1; order <= 2; ++order) {
        const Tensor truth = directional_derivative(f, v, u, order, DerivativeMethod::kAutograd);
        EXPECT_TRUE(at::allclose(jet->derivative(order)[l], truth, 1e-10, 1e-10)) << entry.name << " " << order;
      }
    }
  }
}

TEST(Grbm, FirstValuesAndSizes) {
  GrbmOptions options;
  options.latent_size = 400;
  auto frey = std::make_unique<Grbm>(options, context_for({28, 20}));
  auto parameters = frey->module().named_parameters();
  EXPECT_EQ(parameters["weight"].sizes(), (Shape{560, 400}));
  for (const char* name : {"weight", "visible_bias", "latent_bias"}) {
    const double largest = number(parameters[name].abs().max());
    EXPECT_LE(largest, 1 / std::sqrt(400.0)) << name;
    EXPECT_GT(largest, 0.95 / std::sqrt(400.0)) << name;
  }
  EXPECT_EQ(number(parameters["log_deviation"].abs().max()), 0);
  options.learn_deviation = false;
  options.initial = "normal";
  options.initial_deviation = 0;
  auto standard = std::make_unique<Grbm>(options, context_for({5}));
  EXPECT_EQ(standard->module().parameters().size(), 3u);
  const Tensor v = Rng(1, "v").normal({3, 5}, at::kDouble);
  EXPECT_TRUE(at::allclose(score(*standard, v), -v, 1e-12, 1e-12));
}

// The definition, sum by sum.
TEST(Grbm, JointIsItsFormula) {
  auto grbm = machine({3}, 2);
  auto p = grbm->module().named_parameters();
  const Tensor v = Rng(1, "v").normal({2, 3}, at::kDouble), h = Rng(1, "h").uniform({4, 2, 2}, at::kDouble);
  const Tensor joint = grbm->joint(v, h);
  for (std::int64_t l = 0; l < 4; ++l)
    for (std::int64_t b = 0; b < 2; ++b) {
      double energy = 0;
      for (std::int64_t i = 0; i < 3; ++i) {
        const double z = (number(v[b][i]) - number(p["visible_bias"][i])) / std::exp(number(p["log_deviation"][i]));
        energy += 0.5 * z * z;
        for (std::int64_t j = 0; j < 2; ++j) energy -= number(v[b][i]) * number(p["weight"][i][j]) * number(h[l][b][j]);
      }
      for (std::int64_t j = 0; j < 2; ++j) energy -= number(p["latent_bias"][j]) * number(h[l][b][j]);
      EXPECT_NEAR(number(joint[l][b]), energy, 1e-12);
    }
}

TEST(Grbm, MarginalAndConditionalsAreThoseOfTheJoint) {
  auto grbm = machine({1, 2, 2}, 4);
  const Tensor v = Rng(1, "v").normal({5, 1, 2, 2}, at::kDouble), h = all_states(4, 5), joint = grbm->joint(v, h);
  EXPECT_TRUE(at::allclose(grbm->energy(v), -(-joint).logsumexp(0), 1e-12, 1e-12));
  const Tensor probability = (-joint).softmax(0);
  EXPECT_TRUE(at::allclose(grbm->latent_logits(v).sigmoid(), (probability.unsqueeze(-1) * h).sum(0), 1e-12, 1e-12));
  // log N(v; mean, σ²) + E(v, h) does not depend on v.
  const Tensor mean = grbm->visible_mean(h.select(1, 0)), z = (v.unsqueeze(1) - mean) / grbm->visible_deviation();
  const Tensor constant = joint.t() - 0.5 * z.square().flatten(2).sum(2);
  EXPECT_LT(number((constant - constant[0]).abs().max()), 1e-11);
}

// Jets to order six, the score and the Laplacian against nested autograd and the formulas of the sheet.
TEST(Grbm, DerivativesOfTheMarginal) {
  auto grbm = machine({3}, 4);
  const Tensor v = Rng(1, "v").normal({6, 3}, at::kDouble), u = Rng(1, "u").normal({6, 3}, at::kDouble);
  const ScalarFunction f = scalar_function(*grbm);
  for (std::int64_t order = 1; order <= 6; ++order) {
    const Tensor truth = directional_derivative(f, v, u, order, DerivativeMethod::kAutograd);
    EXPECT_TRUE(at::allclose(directional_derivative(f, v, u, order), truth, 1e-8, 1e-8)) << order;
  }
  auto p = grbm->module().named_parameters();
  const Tensor variance = (2 * p["log_deviation"]).exp(), on = grbm->latent_logits(v).sigmoid();
  EXPECT_TRUE(at::allclose(score(*grbm, v), -(v - p["visible_bias"]) / variance + on.matmul(p["weight"].t()), 1e-11));
  const Tensor trace = -variance.reciprocal().sum() + (on * (1 - on)).matmul(p["weight"].square().sum(0));
  EXPECT_TRUE(at::allclose(-laplacian(f, v).laplacian, trace, 1e-11, 1e-11));
}

// Gibbs draws: frequencies and means of 200000 rows.
TEST(Grbm, DrawsFollowTheConditionalsAtEveryTemperature) {
  auto grbm = machine({2}, 3);
  const std::int64_t n = 200000;
  const Tensor v = Rng(1, "v").normal({1, 2}, at::kDouble), many = v.expand({n, 2});
  for (const double beta : {1.0, 0.4}) {
    Rng rng(2, "gibbs");
    const Tensor h = grbm->sample_latent(many, rng, beta), p = (beta * grbm->latent_logits(v)).sigmoid().squeeze(0);
    const Tensor error = (p * (1 - p) / static_cast<double>(n)).sqrt();
    EXPECT_LT(number(((h.mean(0) - p) / error).abs().max()), 4) << beta;
    const Tensor one = torch::tensor({{1.0, 0.0, 1.0}}, at::kDouble);
    const Tensor draws = grbm->sample_visible(one.expand({n, 3}), rng, beta);
    const Tensor bias = grbm->module().named_parameters()["visible_bias"], sigma = grbm->visible_deviation();
    const Tensor mean = bias + beta * (grbm->visible_mean(one).squeeze(0) - bias);
    EXPECT_LT(number(((draws.mean(0) - mean) / sigma).abs().max()), 4 / std::sqrt(double(n))) << beta;
    EXPECT_LT(number((draws.std(0) / sigma - 1).abs().max()), 4 / std::sqrt(2 * double(n))) << beta;
  }
}

// A sum over the plane: the trapezoid rule is exact to rounding for smooth functions that vanish at the edges.
TEST(Grbm, LogZEqualsQuadrature) {
  auto grbm = machine({2}, 4);
  const double edge = 14, step = 0.05;
  const Tensor axis = torch::arange(-edge, edge + step / 2, step, at::kDouble);
  const Tensor v = at::cartesian_prod({axis, axis});
  const double truth = number((-grbm->energy(v)).logsumexp(0)) + 2 * std::log(step);
  EXPECT_NEAR(number(grbm->log_z()), truth, 1e-10);
  const double base = number((-grbm->annealed_energy(v, 0)).logsumexp(0)) + 2 * std::log(step);
  EXPECT_NEAR(number(grbm->base_log_z()), base, 1e-10);
  EXPECT_TRUE(at::allclose(grbm->annealed_energy(v, 1), grbm->energy(v), 1e-12, 1e-12));
}

// The gradient of log Z is E[-∂F/∂θ], so that the mean of -log p has slope 0 on the machine's own law: by quadrature.
TEST(Grbm, LogZKeepsItsGraph) {
  auto grbm = machine({2}, 3);
  const double edge = 14, step = 0.05;
  const Tensor axis = torch::arange(-edge, edge + step / 2, step, at::kDouble);
  const Tensor v = at::cartesian_prod({axis, axis}), energy = grbm->energy(v);
  const Tensor density = (-energy - grbm->log_z()).exp().detach() * step * step;
  const auto slopes = torch::autograd::grad({(density * energy).sum() + grbm->log_z()}, grbm->module().parameters());
  for (const Tensor& slope : slopes) EXPECT_LT(number(slope.abs().max()), 1e-9);
}

// Latent variables that touch nothing give factors 1 + exp(c): the sum runs over several chunks here.
TEST(Grbm, LogZOfManyLatentVariables) {
  const std::int64_t k = 17;
  auto small = machine({2}, 3), large = machine({2}, k);
  auto of_small = small->module().named_parameters(), of_large = large->module().named_parameters();
  const torch::NoGradGuard no_grad;
  Tensor weight = torch::zeros({2, k}, at::kDouble);
  const Tensor bias = of_large["latent_bias"].clone();
  const std::int64_t places[] = {1, 9, 16};
  double rest = 0;
  for (std::int64_t j = 0; j < k; ++j) rest += std::log1p(std::exp(number(bias[j])));
  for (std::int64_t j = 0; j < 3; ++j) {
    weight.select(1, places[j]).copy_(of_small["weight"].select(1, j));
    rest -= std::log1p(std::exp(number(bias[places[j]])));
    bias[places[j]] = of_small["latent_bias"][j];
  }
  fill(large->module(), "weight", weight);
  fill(large->module(), "latent_bias", bias);
  fill(large->module(), "visible_bias", of_small["visible_bias"]);
  fill(large->module(), "log_deviation", of_small["log_deviation"]);
  EXPECT_NEAR(number(large->log_z()), number(small->log_z()) + rest, 1e-10);
  EXPECT_THROW(machine({2}, Grbm::kMostEnumerated + 1)->log_z(), RequestError);
}

// Integrals over h and v by sums on a grid.
TEST(GaussianLatent, MarginalPosteriorAndLogZEqualQuadrature) {
  auto model = gaussian({2}, 1);
  const double edge = 16, step = 0.05;
  const Tensor axis = torch::arange(-edge, edge + step / 2, step, at::kDouble);
  const Tensor v = Rng(1, "v").normal({5, 2}, at::kDouble);
  const Tensor h = axis.view({-1, 1, 1}).expand({-1, 5, 1}), joint = model->joint(v, h);
  EXPECT_TRUE(at::allclose(model->energy(v), -(-joint).logsumexp(0) - std::log(step), 1e-10, 1e-10));
  const Tensor weight = (-joint).softmax(0);
  const Tensor mean = (weight * h.squeeze(-1)).sum(0), second = (weight * h.squeeze(-1).square()).sum(0);
  EXPECT_TRUE(at::allclose(model->latent_mean(v).squeeze(1), mean, 1e-10, 1e-10));
  EXPECT_TRUE(at::allclose(second - mean.square(), torch::ones_like(mean), 1e-10, 1e-10));

  const Tensor plane = at::cartesian_prod({axis, axis}), log_mass = -model->energy(plane);
  EXPECT_NEAR(number(model->log_z()), number(log_mass.logsumexp(0)) + 2 * std::log(step), 1e-9);
  const Tensor mass = log_mass.softmax(0).unsqueeze(1), centre = (mass * plane).sum(0);
  EXPECT_TRUE(at::allclose(model->marginal_mean(), centre, 1e-9, 1e-9));
  const Tensor spread = (plane - centre).t().matmul(mass * (plane - centre));
  EXPECT_TRUE(at::allclose(model->marginal_covariance(), spread, 1e-9, 1e-9));

  // Divergences of a law that is not the posterior.
  const Tensor other = torch::full({5, 1}, 0.3, at::kDouble);
  const double deviation = 1.4, half_log = 0.5 * std::log(2 * M_PI);
  const Tensor grid = axis.unsqueeze(1), z = (grid - 0.3) / deviation;
  const Tensor log_q = -0.5 * z.square() - std::log(deviation) - half_log, q = log_q.exp() * step;
  const Tensor away = grid - model->latent_mean(v).t(), log_p = -0.5 * away.square() - half_log;
  EXPECT_TRUE(at::allclose(model->latent_kl(v, other, deviation), (q * (log_q - log_p)).sum(0), 1e-9, 1e-9));
  const Tensor slope = -z / deviation + away;
  EXPECT_TRUE(at::allclose(model->latent_fisher(v, other, deviation), (0.5 * q * slope.square()).sum(0), 1e-9, 1e-9));
}

TEST(GaussianLatent, JointIsItsFormulaAndImproperLawsAreRefused) {
  auto model = gaussian({3}, 2);
  auto p = model->module().named_parameters();
  const Tensor v = Rng(1, "v").normal({4, 3}, at::kDouble), h = Rng(1, "h").normal({5, 4, 2}, at::kDouble);
  const Tensor expected = 0.5 * (v - p["visible_bias"]).square().sum(-1) / (2 * p["log_deviation"]).exp() +
                          0.5 * (h - p["latent_bias"]).square().sum(-1) -
                          at::einsum("bi,ij,lbj->lb", {v, p["weight"], h});
  EXPECT_TRUE(at::allclose(model->joint(v, h), expected, 1e-12, 1e-12));
  fill(model->module(), "weight", torch::eye(3, 2, at::kDouble) * 2);
  EXPECT_THROW(model->log_z(), WorkError);
}

}  // namespace
}  // namespace gibbsite
