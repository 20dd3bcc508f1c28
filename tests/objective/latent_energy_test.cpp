// Objectives of latent-variable energies: those of their scores by VaGES, and those that fit the posterior.
#include <gibbsite/core/error.h>
#include <gibbsite/posterior/bernoulli.h>
#include <gibbsite/posterior/gaussian.h>
#include <gibbsite/posterior/variational_score.h>
#include <gtest/gtest.h>

#include "objective/objective_helpers.h"
#include "posterior/latent_models.h"

namespace gibbsite {
namespace {

BernoulliDrawOptions hard() {
  BernoulliDrawOptions options;
  options.draw = "hard";
  return options;
}

// With draws of the exact posterior, the mean difference to the gradient of the marginal's own objective on the same batch and
// noise is zero: 200 steps of 600 rows. No gradient of b, c, W or σ is left out.
TEST(LatentObjectives, EqualThoseOfTheMarginalInExpectation) {
  auto grbm = test_grbm();
  const auto posterior = make_exact_posterior(*grbm, hard());
  VariationalScoreOptions options;
  options.particles = 3;
  const auto score = make_variational_score(options, *grbm, *posterior);
  ObjectiveParts latent, exact;
  latent.variational_score = score.get();
  exact.energy = grbm.get();
  struct Case {
    const char* objective;
    Config options;
  };
  const Case cases[] = {
      {"dsm", Config::table({{"sigma", Config(0.3)}})},
      {"mdsm", Config::table({{"sigma", Config(0.3)}, {"sigma_min", Config(0.2)}})},
      {"ksd", Config::table({{"width", Config(0.8)}})},
      {"ksd", Config::table({{"width", Config(0.8)}, {"sides", Config("second")}})},
  };
  const Tensor few = Rng(7, "x").normal({6, 3}, at::kDouble), x = few.repeat({100, 1});
  for (const Case& c : cases) {
    const Entry<MakeObjective>& entry = find_entry(objective_table(), "objective", c.objective, "");
    const auto by_draws = entry.make(c.options, latent), by_marginal = entry.make(c.options, exact);
    std::vector<Tensor> differences, gradients_of_marginal;
    for (std::uint64_t step = 0; step < 200; ++step) {
      Batch batch;
      batch.x = x;
      Rng one = Rng(9, "objective").at_step(step), other = one;
      const Tensor truth = flat(gradients((*by_marginal)(batch, one).backward, grbm->module()));
      differences.push_back(flat(gradients((*by_draws)(batch, other).backward, grbm->module())) - truth);
      gradients_of_marginal.push_back(truth);
    }
    const Tensor truth = at::stack(gradients_of_marginal).mean(0);
    EXPECT_LT(worst_deviation(differences, torch::zeros_like(truth)), 4) << c.objective;
    // Small beside the gradient, so that a missing term would show.
    const Tensor error = at::stack(differences).std(0) / std::sqrt(200.0);
    EXPECT_GT((truth.norm() / error.norm()).item<double>(), 20) << c.objective;
  }
}

// The gradient of sliced score matching, its directions drawn too, against that of the marginal with the exact Laplacian.
TEST(VariationalScoreMatching, EqualsExactScoreMatchingInExpectation) {
  auto grbm = test_grbm();
  const auto posterior = make_exact_posterior(*grbm, hard());
  VariationalScoreOptions options;
  options.particles = 3;
  const auto score = make_variational_score(options, *grbm, *posterior);
  ObjectiveParts latent, exact;
  latent.variational_score = score.get();
  latent.latent.joint = grbm.get();
  latent.latent.encoder = posterior.get();
  exact.energy = grbm.get();
  const auto objective = [](const char* name, const ObjectiveParts& parts) {
    return find_entry(objective_table(), "objective", name, "").make(Config::table(), parts);
  };
  const auto by_draws = objective("variational_ssm", latent), by_marginal = objective("exact_score_matching", exact);
  const Tensor few = Rng(7, "x").normal({6, 3}, at::kDouble);
  const Tensor truth = flat(gradients(*by_marginal, *grbm, few));
  std::vector<Tensor> draws;
  for (std::uint64_t step = 0; step < 200; ++step) {
    Batch batch;
    batch.x = few.repeat({100, 1});
    Rng rng = Rng(9, "objective").at_step(step);
    draws.push_back(flat(gradients((*by_draws)(batch, rng).backward, grbm->module())));
  }
  EXPECT_LT(worst_deviation(draws, truth), 4);
  const Tensor error = at::stack(draws).std(0) / std::sqrt(200.0);
  EXPECT_GT((truth.norm() / error.norm()).item<double>(), 20);
  ObjectiveParts lacking = latent;
  lacking.latent.joint = nullptr;
  EXPECT_THROW(objective("variational_ssm", lacking), RequestError);
}

// The loss of every pair by nested reverse passes; both sides together are the gradient of the reported value, one side of
// both orders too.
TEST(SteinDiscrepancy, IsItsFormula) {
  auto grbm = test_grbm();
  ObjectiveParts parts;
  parts.energy = grbm.get();
  const double width = 0.7;
  const auto make = [&](const char* sides) {
    const Config options = Config::table({{"width", Config(width)}, {"sides", Config(sides)}});
    return find_entry(objective_table(), "objective", "ksd", "").make(options, parts);
  };
  const Tensor x = Rng(7, "x").normal({9, 3}, at::kDouble), v = x.narrow(0, 0, 4), w = x.narrow(0, 4, 4);
  Tensor sum = torch::zeros({}, at::kDouble);
  for (std::int64_t b = 0; b < 4; ++b) {
    const Tensor p = v[b].clone().requires_grad_(true), q = w[b].clone().requires_grad_(true);
    const Tensor k = (-(p - q).square().sum() / (2 * width * width)).exp();
    const auto grad = [](const Tensor& y, const Tensor& at) {
      return torch::autograd::grad({y}, {at}, {}, true, true)[0];
    };
    const Tensor of_p = grad(k, p), of_q = grad(k, q);
    Tensor trace = torch::zeros({}, at::kDouble);
    for (std::int64_t i = 0; i < 3; ++i) trace = trace + grad(of_p[i], q)[i];
    const Tensor s = -grad(grbm->energy(p.unsqueeze(0)).sum(), p), t = -grad(grbm->energy(q.unsqueeze(0)).sum(), q);
    sum = sum + k * (s * t).sum() + (s * of_q).sum() + (t * of_p).sum() + trace;
  }
  const Evaluated truth = evaluated(sum / 4, grbm->module());
  const Evaluated both = evaluate(*make("both"), *grbm, x);
  EXPECT_NEAR(both.value, truth.value, 1e-12);
  EXPECT_LE(worst(both.gradients, truth.gradients), 1e-10);
  const Tensor one = flat(gradients(*make("second"), *grbm, at::cat({v, w})));
  const Tensor other = flat(gradients(*make("second"), *grbm, at::cat({w, v})));
  EXPECT_TRUE(at::allclose(one + other, flat(truth.gradients), 1e-9, 1e-10));
  EXPECT_THROW(loss_at(*make("both"), x.narrow(0, 0, 1)), WorkError);
}

// E = k ‖x‖²/2 on N(0, I): the discrepancy is 0 at k = 1 and only there, and its slope changes sign from - to +.
TEST(SteinDiscrepancy, OptimumAndSign) {
  const Tensor x = Rng(1, "data").normal({40000, 2}, at::kDouble);
  const auto at = [&](double k) {
    auto energy = make_energy("quadratic", {2}, Config::table({{"stiffness", Config(k)}}));
    const Evaluated e = evaluate(*make_objective("ksd", *energy, Config::table({{"width", Config(1.0)}})), *energy, x);
    return std::pair(e.value, e.gradients[0].item<double>());
  };
  // One u has a deviation of a few units at most.
  const double error = 2 / std::sqrt(20000.0);
  EXPECT_NEAR(at(1).first, 0, 4 * error);
  EXPECT_GT(at(0.5).first, 4 * error);
  EXPECT_GT(at(1.5).first, 4 * error);
  const double low = at(0.5).second, high = at(1.5).second;
  EXPECT_LT(low, 0);
  EXPECT_GT(high, 0);
  EXPECT_NEAR(0.5 + low / (low - high), 1, 0.05);
}

struct Fitted {
  std::unique_ptr<LatentModel> model;
  std::unique_ptr<Posterior> encoder;
  std::unique_ptr<Objective> objective;
};

Fitted fitted(const char* name, bool discrete, double noise = 0, const BernoulliPosteriorOptions& draw = {}) {
  Fitted made;
  LatentContext context;
  static_cast<ModelContext&>(context) = latent_model_context({3});
  if (discrete) {
    made.model = test_grbm();
    context.latent_size = 4;
    made.encoder = make_bernoulli_posterior(draw, context);
  } else {
    made.model = test_gaussian_latent();
    context.latent_size = 2;
    GaussianPosteriorOptions options;
    options.hidden = {5};
    options.deviation = "exp";
    made.encoder = make_gaussian_posterior(options, context);
  }
  ObjectiveParts parts;
  parts.latent.joint = made.model.get();
  parts.latent.encoder = made.encoder.get();
  made.objective =
      find_entry(objective_table(), "objective", name, "").make(Config::table({{"noise", Config(noise)}}), parts);
  return made;
}

// The gradient is the finite difference of the reported value, with the same draws; the model has none.
TEST(PosteriorFit, DifferentiatesItsValueAndLeavesTheModelAlone) {
  struct Case {
    const char* name;
    bool discrete;
  };
  BernoulliPosteriorOptions soft;
  soft.temperature = 0.7;
  for (const Case& c : {Case{"posterior_kl", true}, Case{"posterior_kl", false}, Case{"posterior_fisher", false}}) {
    Fitted made = fitted(c.name, c.discrete, 0.2, soft);
    const Tensor x = Rng(7, "x").normal({6, 3}, at::kDouble);
    const auto value = [&] { return loss_at(*made.objective, x).log[0].second.item<double>(); };
    loss_at(*made.objective, x).backward.backward();
    for (const Tensor& p : made.model->module().parameters()) EXPECT_FALSE(p.grad().defined()) << c.name;
    for (Tensor& p : made.encoder->module().parameters()) {
      const Tensor numeric = torch::zeros_like(p);
      for (std::int64_t i = 0; i < p.numel(); ++i) {
        Tensor element = p.data().flatten().narrow(0, i, 1);
        const double centre = element.item<double>(), step = 1e-5;
        element.fill_(centre + step);
        const double above = value();
        element.fill_(centre - step);
        const double below = value();
        element.fill_(centre);
        numeric.data().flatten()[i] = (above - below) / (2 * step);
      }
      EXPECT_TRUE(at::allclose(p.grad(), numeric, 1e-6, 1e-8)) << c.name;
    }
  }
}

// The formula is autograd of E(v, h) + log q(h | v) through draws that move.
TEST(PosteriorFit, IsTheGradientThroughTheDraws) {
  Fitted made = fitted("posterior_kl", true);
  const Tensor x = Rng(7, "x").normal({6, 3}, at::kDouble);
  Rng rng(9, "objective"), same = rng;
  Batch batch;
  batch.x = x;
  const std::vector<Tensor> parameters = made.encoder->module().parameters();
  const Loss loss = (*made.objective)(batch, rng);
  const Tensor h = made.encoder->sample(x, 1, same);
  const Tensor bound = (made.model->joint(x, h) + made.encoder->log_prob(x, h)).mean();
  EXPECT_NEAR(loss.backward.item<double>(), bound.item<double>(), 1e-12);
  const Tensor found = flat(torch::autograd::grad({loss.backward}, parameters));
  EXPECT_TRUE(at::allclose(found, flat(torch::autograd::grad({bound}, parameters)), 1e-12, 1e-12));
}

// A grid of levels over the whole batch: the mean of the rows' losses, each at its level and divided by it. A shard is its rows.
TEST(PosteriorFit, DividesByTheLevelsOfAGrid) {
  for (const char* name : {"posterior_kl", "posterior_fisher"}) {
    Fitted plain = fitted(name, false);
    ObjectiveParts parts;
    parts.latent.joint = plain.model.get();
    parts.latent.encoder = plain.encoder.get();
    const auto make = [&](const Config& options) {
      return find_entry(objective_table(), "objective", name, "").make(options, parts);
    };
    const auto grid = make(Config::table({{"levels", Config("grid")},
                                          {"sigma_min", Config(0.1)},
                                          {"sigma_max", Config(0.9)},
                                          {"spacing", Config("geometric")}}));
    const Tensor x = Rng(7, "x").normal({3, 3}, at::kDouble);
    const double level[] = {0.1, 0.3, 0.9};
    double sum = 0;
    for (std::int64_t b = 0; b < 3; ++b) {
      Batch row;
      row.x = x.narrow(0, b, 1);
      row.first_row = b;
      row.global_size = 3;
      Rng one = Rng(9, "objective").at_row(b), other = one;
      const double alone =
          (*make(Config::table({{"noise", Config(level[b])}})))(row, one).log[0].second.item<double>() / level[b];
      EXPECT_NEAR((*grid)(row, other).log[0].second.item<double>(), alone, 1e-10) << name;
      sum += alone / 3;
    }
    EXPECT_NEAR(loss_at(*grid, x).log[0].second.item<double>(), sum, 1e-10) << name;
  }
}

// Their means are the closed forms: KL(q ‖ p(h | v)) + F(v), and the Fisher divergence.
TEST(PosteriorFit, MeansAreTheDivergences) {
  LatentContext context;
  static_cast<ModelContext&>(context) = latent_model_context({3});
  context.latent_size = 2;
  GaussianPosteriorOptions affine;
  affine.hidden = {};
  affine.deviation = "exp";
  const auto model = test_gaussian_latent();
  const auto encoder = make_gaussian_posterior(affine, context);
  const double deviation = 1.3;
  // The deviation is made the same everywhere, so that the closed forms hold.
  auto parameters = encoder->module().named_parameters();
  {
    const at::NoGradGuard no_grad;
    parameters["encoder_layer1_weight"].narrow(0, 2, 2).zero_();
    parameters["encoder_layer1_bias"].narrow(0, 2, 2).fill_(std::log(deviation));
  }
  const Tensor v = Rng(7, "x").normal({1, 3}, at::kDouble);
  const Tensor mean = at::linear(v, parameters["encoder_layer1_weight"].narrow(0, 0, 2),
                                 parameters["encoder_layer1_bias"].narrow(0, 0, 2));
  const double kl = (model->latent_kl(v, mean, deviation) + model->energy(v)).item<double>();
  const double fisher = model->latent_fisher(v, mean, deviation).item<double>();
  ObjectiveParts parts;
  parts.latent.joint = model.get();
  parts.latent.encoder = encoder.get();
  const auto check = [&](const char* name, double truth) {
    const auto objective = find_entry(objective_table(), "objective", name, "").make(Config::table(), parts);
    std::vector<Tensor> values;
    for (std::uint64_t step = 0; step < 200; ++step) {
      Rng rng = Rng(9, "objective").at_step(step);
      Batch batch;
      batch.x = v.expand({500, 3});
      values.push_back((*objective)(batch, rng).log[0].second.view({1}));
    }
    EXPECT_LT(worst_deviation(values, torch::full({1}, truth, at::kDouble)), 4) << name;
  };
  check("posterior_kl", kl);
  check("posterior_fisher", fisher);
}

TEST(PosteriorFit, RefusesWhatItCannotFit) {
  EXPECT_THROW(fitted("posterior_fisher", true), RequestError);
  BernoulliPosteriorOptions draw;
  draw.draw = "hard";
  Fitted made = fitted("posterior_kl", true, 0, draw);
  EXPECT_THROW(loss_at(*made.objective, torch::zeros({2, 3}, at::kDouble)), RequestError);
  ObjectiveParts none;
  EXPECT_THROW(find_entry(objective_table(), "objective", "posterior_kl", "").make(Config::table(), none),
               RequestError);
}

}  // namespace
}  // namespace gibbsite
