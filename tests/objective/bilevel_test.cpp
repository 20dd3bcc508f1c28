// Bilevel score matching: gradients through unrolled updates of the encoder.
#include <gibbsite/core/error.h>
#include <gibbsite/objective/differentiable_adam.h>
#include <gibbsite/posterior/bernoulli.h>
#include <gibbsite/posterior/gaussian.h>
#include <gtest/gtest.h>

#include "objective/objective_helpers.h"
#include "posterior/latent_models.h"

namespace gibbsite {
namespace {

// A model, an encoder that has been trained a little, and Adam's memory of that.
struct Bilevel {
  std::unique_ptr<LatentModel> model;
  std::unique_ptr<Posterior> encoder;
  std::unique_ptr<Objective> objective;
  AdamState adam;
  Tensor x = Rng(7, "x").normal({5, 3}, at::kDouble);

  Bilevel(const char* name, bool discrete, const Config& options) {
    LatentContext context;
    static_cast<ModelContext&>(context) = latent_model_context({3});
    if (discrete) {
      model = test_grbm();
      context.latent_size = 4;
      BernoulliPosteriorOptions soft;
      soft.temperature = 0.7;
      encoder = make_bernoulli_posterior(soft, context);
    } else {
      model = test_gaussian_latent();
      context.latent_size = 2;
      GaussianPosteriorOptions affine;
      affine.hidden = {4};
      affine.deviation = "exp";
      encoder = make_gaussian_posterior(affine, context);
    }
    ObjectiveParts parts;
    parts.latent.joint = model.get();
    parts.latent.encoder = encoder.get();
    objective = find_entry(objective_table(), "objective", name, "").make(options, parts);
    adam.learning_rate = 0.05;
    adam.beta2 = 0.95;
    adam.steps = 3;
    Rng rng(5, "moments");
    for (const Tensor& p : encoder->module().parameters()) {
      adam.mean.push_back(0.1 * rng.normal(p.sizes(), p));
      adam.square.push_back(0.1 * rng.uniform(p.sizes(), p));
    }
  }

  Loss loss() const {
    Rng rng(9, "objective");
    Batch batch;
    batch.x = x;
    batch.adam = [this](torch::nn::Module&) { return adam; };
    return (*objective)(batch, rng);
  }

  std::vector<Tensor> numeric() const {
    std::vector<Tensor> all;
    for (Tensor& p : model->module().parameters()) {
      Tensor slope = torch::zeros_like(p.data());
      for (std::int64_t i = 0; i < p.numel(); ++i) {
        Tensor element = p.data().flatten().narrow(0, i, 1);
        const double centre = element.item<double>(), step = 1e-5;
        const auto at = [&](double value) {
          element.fill_(value);
          return loss().log[0].second.item<double>();
        };
        slope.flatten()[i] = (at(centre + step) - at(centre - step)) / (2 * step);
        element.fill_(centre);
      }
      all.push_back(slope);
    }
    return all;
  }
};

Config bilevel_options(const char* name, std::int64_t unroll, const char* divergence = "kl") {
  Config options = Config::table({{"unroll", Config(unroll)}, {"particles", Config(2)}});
  if (unroll > 0) options.set("divergence", Config(divergence));
  if (std::string(name) == "bimdsm") options.set("sigma_min", Config(0.2));
  return options;
}

// Common random numbers, N = 0, 2 and 5. The encoder gets no gradient, its parameters and moments stay.
TEST(Bilevel, OuterGradientIsTheFiniteDifferenceThroughUnrolledUpdates) {
  struct Case {
    bool discrete;
    const char* divergence;
  };
  for (const char* name : {"bidsm", "bissm", "bimdsm"})
    for (const Case& c : {Case{true, "kl"}, Case{false, "kl"}, Case{false, "fisher"}})
      for (const std::int64_t unroll : {0, 2, 5}) {
        Bilevel at(name, c.discrete, bilevel_options(name, unroll, c.divergence));
        const Tensor before = flat(at.encoder->module().parameters()).detach().clone();
        const Tensor moments = flat(at.adam.mean).clone();
        const Tensor exact = flat(gradients(at.loss().backward, at.model->module())), numeric = flat(at.numeric());
        EXPECT_LT((exact - numeric).abs().max().item<double>(), 1e-6 * numeric.abs().max().item<double>())
            << name << " " << c.discrete << c.divergence << " " << unroll;
        at.loss().backward.backward();
        for (const Tensor& p : at.encoder->module().parameters()) EXPECT_FALSE(p.grad().defined());
        EXPECT_TRUE(torch::equal(flat(at.encoder->module().parameters()), before));
        EXPECT_TRUE(torch::equal(flat(at.adam.mean), moments));
      }
}

// The bias of the latent variables is in no derivative of E in v: without unrolling it gets nothing at all.
TEST(Bilevel, LatentBiasLearnsOnlyThroughTheEncoder) {
  for (const char* name : {"bidsm", "bissm", "bimdsm"})
    for (const std::int64_t unroll : {0, 2}) {
      Bilevel at(name, true, bilevel_options(name, unroll));
      at.loss().backward.backward();
      const Tensor gradient = at.model->module().named_parameters()["latent_bias"].grad();
      if (unroll == 0)
        EXPECT_TRUE(!gradient.defined() || gradient.abs().max().item<double>() == 0) << name;
      else
        EXPECT_GT(gradient.abs().max().item<double>(), 1e-4) << name;
    }
}

// An affine encoder with the machine's own W and c is its posterior: then every h gives the score of the marginal.
TEST(Bilevel, IsTheMarginalsObjectiveWhereTheEncoderIsThePosterior) {
  for (const std::int64_t visible : {1, 3}) {
    auto grbm = test_grbm(visible);
    LatentContext context;
    static_cast<ModelContext&>(context) = latent_model_context({visible});
    context.latent_size = 4;
    const auto encoder = make_bernoulli_posterior({}, context);
    auto own = grbm->module().named_parameters();
    set_parameter(encoder->module(), "encoder_layer1_weight", own["weight"].t());
    set_parameter(encoder->module(), "encoder_layer1_bias", own["latent_bias"]);
    ObjectiveParts latent, marginal;
    latent.latent.joint = grbm.get();
    latent.latent.encoder = encoder.get();
    marginal.energy = grbm.get();
    const Tensor x = Rng(7, "x").normal({5, visible}, at::kDouble);
    const auto value = [&](const char* name, Config options, const ObjectiveParts& parts) {
      if (parts.latent.joint) options.set("particles", Config(3));
      const auto objective = find_entry(objective_table(), "objective", name, "").make(options, parts);
      return loss_at(*objective, x).log[0].second.item<double>();
    };
    const Config one = Config::table({{"sigma", Config(0.3)}});
    EXPECT_NEAR(value("bidsm", one, latent), value("dsm", one, marginal), 1e-11);
    const Config grid = Config::table({{"sigma", Config(0.3)}, {"sigma_min", Config(0.2)}, {"factor", Config(0.5)}});
    EXPECT_NEAR(value("bimdsm", grid, latent), value("mdsm", grid, marginal), 1e-10);
    // In one dimension uᵀ∇s u is the trace, whatever the sign u.
    if (visible == 1) {
      EXPECT_NEAR(value("bissm", Config::table(), latent), value("exact_score_matching", Config::table(), marginal),
                  1e-11);
    }
    set_parameter(encoder->module(), "encoder_layer1_bias", own["latent_bias"] + 0.1);
    EXPECT_GT(std::abs(value("bidsm", one, latent) - value("dsm", one, marginal)), 1e-4);
  }
}

TEST(Bilevel, RefusesWhatItCannotUnroll) {
  EXPECT_THROW(Bilevel("bidsm", true, bilevel_options("bidsm", 2, "fisher")), RequestError);
  Bilevel at("bidsm", true, bilevel_options("bidsm", 2));
  EXPECT_THROW(loss_at(*at.objective, at.x), RequestError);
  ObjectiveParts none;
  EXPECT_THROW(find_entry(objective_table(), "objective", "bidsm", "").make(Config::table(), none), RequestError);
}

// A parameter that never had a gradient has a mean square of 0: the update is 0 and so are its derivatives.
TEST(DifferentiableAdam, HasFiniteDerivativesAtZeroMeanSquare) {
  const Tensor p = torch::ones({2}, at::kDouble).requires_grad_(true);
  const Tensor g = torch::tensor({0.0, 0.3}, at::kDouble).requires_grad_(true);
  AdamState state;
  state.mean = {torch::zeros({2}, at::kDouble)};
  state.square = {torch::zeros({2}, at::kDouble)};
  const Tensor next = adam_step(state, {p}, {g})[0];
  // m = 0.1 g and v = 0.001 g² after the corrections are g and g²: a step of the learning rate against the sign.
  EXPECT_NEAR(next[0].item<double>(), 1, 1e-15);
  EXPECT_NEAR(next[1].item<double>(), 1 - 1e-3, 1e-10);
  for (const Tensor& slope : torch::autograd::grad({next.sum()}, {p, g}))
    EXPECT_TRUE(slope.isfinite().all().item<bool>());
  EXPECT_EQ(state.steps, 1);
}

// Two updates one after the other, by the rule written out and differentiated by autograd.
TEST(DifferentiableAdam, IsTheRuleWithItsDerivatives) {
  const auto leaf = [](const char* name) { return Rng(4, name).normal({3}, at::kDouble).requires_grad_(true); };
  const Tensor p = leaf("parameter"), g = leaf("gradient"), mean = leaf("mean");
  const Tensor square = Rng(4, "square").uniform({3}, at::kDouble).requires_grad_(true);
  AdamState state;
  state.learning_rate = 0.1;
  state.beta2 = 0.95;
  state.epsilon = 1e-3;
  state.steps = 3;
  state.mean = {mean};
  state.square = {square};
  const Tensor first = adam_step(state, {p}, {g})[0], second = adam_step(state, {first}, {(g * first).sin()})[0];
  Tensor rule = p, m = mean, v = square, slope = g;
  for (int k = 4; k <= 5; ++k) {
    m = 0.9 * m + (1 - 0.9) * slope;
    v = 0.95 * v + (1 - 0.95) * slope.square();
    rule = rule - 0.1 * (m / (1 - std::pow(0.9, k))) / ((v / (1 - std::pow(0.95, k))).sqrt() + 1e-3);
    slope = (g * rule).sin();
  }
  EXPECT_TRUE(at::allclose(second, rule, 1e-12, 1e-12));
  const std::vector<Tensor> inputs = {p, g, mean, square};
  const auto found = torch::autograd::grad({second.square().sum()}, inputs);
  const auto truth = torch::autograd::grad({rule.square().sum()}, inputs);
  for (std::size_t i = 0; i < inputs.size(); ++i) EXPECT_TRUE(at::allclose(found[i], truth[i], 1e-11, 1e-12)) << i;
}

}  // namespace
}  // namespace gibbsite
