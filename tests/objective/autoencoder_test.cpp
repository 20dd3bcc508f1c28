// Auto-encoders with codes that have no density formula, and the score matching of their codes.
#include <gibbsite/core/error.h>
#include <gibbsite/manifold/sphere.h>
#include <gibbsite/model/mlp_decoder.h>
#include <gibbsite/model/mlp_latent_score.h>
#include <gibbsite/objective/adversarial_inference.h>
#include <gibbsite/objective/autoencoder.h>
#include <gibbsite/objective/entropy.h>
#include <gibbsite/objective/latent_finite_difference.h>
#include <gibbsite/objective/latent_score_matching.h>
#include <gibbsite/objective/mean_discrepancy.h>
#include <gibbsite/objective/minimum_velocity.h>
#include <gibbsite/posterior/gaussian.h>
#include <gibbsite/posterior/implicit.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "objective/objective_helpers.h"
#include "posterior/linear_gaussian.h"

namespace gibbsite {
namespace {

// ∇ log q of a Gaussian posterior, exactly and frozen: what a perfect score network gives.
class ExactScore : public LatentScore {
 public:
  explicit ExactScore(const LinearPosterior& posterior) : posterior_(posterior) {}
  std::unique_ptr<Score> given(const Tensor& v) const override {
    return std::make_unique<Given>(posterior_.mean(v).detach(), posterior_.deviation().detach());
  }
  torch::nn::Module& module() override { return module_; }
  std::vector<LayerNote> layers() const override { return {}; }

 private:
  struct Given : Score {
    Tensor mean, deviation;
    Given(Tensor m, Tensor s) : mean(std::move(m)), deviation(std::move(s)) {}
    using Score::at;
    ScoreEval at(const Tensor& h, Rng&) const override { return {-(h - mean) / deviation.square(), {}}; }
  };
  const LinearPosterior& posterior_;
  torch::nn::Module module_;
};

// h = A e with e over the corners of a square, whose first three moments are those of N(0, I): the surrogate's gradient is
// exactly that of -H = -log |det A| + const, minus the transposed inverse of A.
TEST(EntropySurrogate, HasTheGradientOfTheEntropy) {
  const Tensor a = torch::tensor({{1.5, 0.3}, {-0.4, 0.8}}, at::kDouble).requires_grad_(true);
  const Tensor corners = torch::tensor({{1.0, 1.0}, {1.0, -1.0}, {-1.0, 1.0}, {-1.0, -1.0}}, at::kDouble);
  const Tensor truth = torch::linalg_inv(a.detach()).t();
  const auto gradient = [&](const Tensor& e) {
    const Tensor h = e.mm(a.t()).unsqueeze(0);
    // Not detached by hand: the surrogate must.
    const Tensor score = -h.matmul(torch::linalg_inv(a.mm(a.t())));
    return torch::autograd::grad({negative_entropy_surrogate(h, score).mean()}, {a})[0];
  };
  EXPECT_TRUE(at::allclose(gradient(corners), -truth, 1e-12, 1e-12));

  // Drawn noise gives it within standard errors.
  const std::int64_t rows = 100000;
  const Tensor e = Rng(1, "e").normal({rows, 2}, at::kDouble);
  const Tensor terms = -(e.mm(torch::linalg_inv(a.detach()))).unsqueeze(2) * e.unsqueeze(1);
  const Tensor error = terms.std(0) / std::sqrt(static_cast<double>(rows));
  EXPECT_LT(((gradient(e) + truth).abs() / error).max().item<double>(), 4);
}

// Of a wrapped normal law on the circle, points of angle m + s e, the derivative in s by quadrature: over e of the
// surrogate, and over the circle of the entropy.
TEST(EntropySurrogate, OnTheCircleIsTheDerivativeByQuadrature) {
  const auto circle = make_sphere({1});
  const Tensor mean = torch::tensor({{std::cos(0.4), std::sin(0.4)}}, at::kDouble);
  const auto entropy = [&](double deviation) {
    const Cubature rule = circle->cubature(2000, 0);
    const Tensor log_q = circle->log_wrapped_normal(mean, rule.points, deviation);
    return -(rule.weights * log_q.exp() * log_q).sum().item<double>();
  };
  for (const double deviation : {0.5, 1.2, 2.0}) {
    const Tensor s = torch::full({}, deviation, at::kDouble).requires_grad_(true);
    const Tensor e = torch::linspace(-9, 9, 4001, at::kDouble);
    const Tensor weight = (-0.5 * e.square()).exp() / std::sqrt(2 * M_PI) * (18.0 / 4000);
    const Tensor angle = 0.4 + s * e, h = torch::stack({angle.cos(), angle.sin()}, 1);
    const Tensor at = h.detach().requires_grad_(true);
    const Tensor ambient =
        torch::autograd::grad({circle->log_wrapped_normal(mean, at, deviation).sum()}, {at}, {}, {}, false)[0];
    const Tensor surrogate = (weight * negative_entropy_surrogate(h, circle->gradient(h.detach(), ambient))).sum();
    const double found = -torch::autograd::grad({surrogate}, {s})[0].item<double>();
    const double truth = (entropy(deviation + 1e-4) - entropy(deviation - 1e-4)) / 2e-4;
    EXPECT_NEAR(found, truth, 1e-7 * std::max(1.0, std::abs(truth))) << deviation;
  }
}

// By kernels the same, for one law of all codes and for a law per example; the error is that of the estimator.
TEST(EntropySurrogate, KernelsEstimateIt) {
  const Tensor a = torch::tensor({{1.5, 0.3}, {-0.4, 0.8}}, at::kDouble).requires_grad_(true);
  const Tensor truth = -torch::linalg_inv(a.detach()).t();
  Rng unused(1, "unused");
  for (const Entry<MakeScoreEstimator>& entry : score_estimator_table()) {
    const auto estimator = entry.make(entry.smallest);
    for (const bool aggregate : {true, false}) {
      const Tensor e = Rng(1, "e").normal({aggregate ? 1 : 600, aggregate ? 600 : 2, 2}, at::kDouble);
      // Examples far apart, which only the aggregate may see together.
      const Tensor shift =
          aggregate ? torch::zeros({1, 600, 1}, at::kDouble) : torch::tensor({0.0, 100.0}, at::kDouble).view({1, 2, 1});
      const Tensor h = e.matmul(a.t()) + shift;
      const Tensor score = kernel_entropy_score(*estimator, aggregate)({}, h, unused);
      ASSERT_EQ(score.sizes(), h.sizes());
      const Tensor found = torch::autograd::grad({negative_entropy_surrogate(h, score).mean()}, {a})[0];
      EXPECT_LT(((found - truth).norm() / truth.norm()).item<double>(), 0.25) << entry.name << " " << aggregate;
    }
  }
}

// Encoder N(a v + b, s²), decoder N(w h + c, 1): the negative evidence lower bound in closed form. Noise ±1 on doubled rows
// makes every expectation of a quadratic exact.
TEST(Autoencoder, HasTheGradientOfTheEvidenceLowerBound) {
  for (const double regularisation : {1.0, 10.0}) {
    LinearDecoder decoder(1.7, 0.4);
    LinearPosterior encoder(0.3, -0.2, 0.6);
    ExactScore score(encoder);
    const auto prior = make_normal_prior(1);
    const Tensor once = Rng(1, "v").normal({5, 1}, at::kDouble), v = at::cat({once, once});
    encoder.fixed_noise = at::cat({torch::ones({5, 1}, at::kDouble), -torch::ones({5, 1}, at::kDouble)});
    ObjectiveParts parts;
    parts.latent.encoder = &encoder;
    parts.latent.decoder = &decoder;
    parts.latent.prior = prior.get();
    parts.latent.score = &score;
    const Config options = Config::table({{"regularisation", Config(regularisation)}});
    const auto objective = find_entry(objective_table(), "objective", "autoencoder", "").make(options, parts);

    const Tensor m = encoder.mean(once), s = encoder.deviation();
    const Tensor w = decoder.module().parameters()[0];
    const Tensor reconstruction =
        (0.5 * (once - decoder.mean(m)).square() + 0.5 * (w * s).square() + 0.5 * std::log(2 * M_PI)).mean();
    const Tensor divergence = (0.5 * (m.square() + s.square() - 1) - s.log()).mean();
    const Tensor truth = reconstruction + regularisation * divergence;
    const Loss loss = loss_at(*objective, v);
    EXPECT_NEAR(loss.log[1].second.item<double>(), reconstruction.item<double>(), 1e-12);
    for (torch::nn::Module* module : {&encoder.module(), &decoder.module()}) {
      const auto found = gradients(loss.backward, *module), expected = gradients(truth, *module);
      for (std::size_t i = 0; i < found.size(); ++i)
        EXPECT_NEAR(found[i].item<double>(), expected[i].item<double>(), 1e-11) << i;
    }
  }
}

TEST(Autoencoder, SquaredErrorIsThatOfTheMean) {
  LinearDecoder decoder(1.7, 0.4);
  LinearPosterior encoder(0.3, -0.2, 0.6);
  ExactScore score(encoder);
  const auto prior = make_normal_prior(1);
  encoder.fixed_noise = torch::zeros({4, 1}, at::kDouble);
  const Tensor v = Rng(1, "v").normal({4, 1}, at::kDouble);
  ObjectiveParts parts;
  parts.latent = {&encoder, &decoder, prior.get(), &score, nullptr};
  AutoencoderOptions options;
  options.reconstruction = "squared_error";
  const Tensor expected = (v - decoder.mean(encoder.mean(v))).square().mean();
  EXPECT_NEAR(loss_at(*make_autoencoder(options, parts), v).log[1].second.item<double>(), expected.item<double>(),
              1e-12);
}

struct Codes {
  LatentContext context;
  std::unique_ptr<Posterior> encoder;
  std::unique_ptr<LatentScore> score;
  Codes(const char* name, const Config& options) {
    context.event = {3};
    context.latent_size = 2;
    context.dtype = at::kDouble;
    context.init = Rng(3, "init");
    ImplicitPosteriorOptions encoding;
    encoding.hidden = {5};
    encoding.noise = 2;
    encoder = make_implicit_posterior(encoding, context);
    score = find_entry(latent_score_table(), "score", name, "").make(options, context);
  }
  std::unique_ptr<Objective> objective(const Config& options) const {
    ObjectiveParts parts;
    parts.latent.encoder = encoder.get();
    parts.latent.score = score.get();
    return find_entry(objective_table(), "objective", "latent_ssm_vr", "").make(options, parts);
  }
};

Config small(const char* operations = "fast") {
  return Config::table({{"hidden", Config::array({Config(6), Config(6)})}, {"operations", Config(operations)}});
}

// ½‖s‖² + vᵀ∇s v at the codes, with the whole Jacobian; encoders stay out of it.
TEST(LatentScoreMatching, EqualsTheFullJacobianAndLeavesTheEncoderAlone) {
  const Tensor v = Rng(1, "v").normal({4, 3}, at::kDouble);
  for (const char* name : {"conditional_mlp", "aggregate_mlp"}) {
    const Codes codes(name, small());
    Rng rng(9, "objective");
    const Tensor h = codes.encoder->sample(v, 1, rng)[0].detach().requires_grad_(true);
    const Tensor u = rng.normal(h.sizes(), h);
    const ScoreEval s = codes.score->given(v)->at(h, rng);
    Tensor loss = torch::zeros({}, at::kDouble);
    for (std::int64_t b = 0; b < 4; ++b)
      for (std::int64_t i = 0; i < 2; ++i) {
        Tensor one = torch::zeros_like(h);
        one[b][i] = 1;
        const Tensor component = s.pullback(one);
        const Tensor row = torch::autograd::grad({component}, {h}, {}, true, true)[0];
        loss = loss + (0.5 * component.square() + u[b][i] * (row * u).sum()) / 4;
      }
    const Evaluated truth = evaluated(loss, codes.score->module());
    for (const char* derivative : {"jet", "autograd"}) {
      const auto objective = codes.objective(Config::table({{"derivative", Config(derivative)}}));
      const Evaluated found = evaluate(*objective, *codes.score, v);
      EXPECT_NEAR(found.value, truth.value, 1e-10) << name << " " << derivative;
      EXPECT_LE(worst(found.gradients, truth.gradients), 1e-9) << name << " " << derivative;
      const std::vector<Tensor> others = codes.encoder->module().parameters();
      for (const Tensor& g :
           torch::autograd::grad({loss_at(*objective, v).backward}, others, {}, {}, false, /*allow_unused=*/true))
        EXPECT_FALSE(g.defined());
    }
    std::vector<double> errors;
    for (const double epsilon : test_epsilons())
      errors.push_back(worst(evaluate(*codes.objective(Config::table(
                                          {{"derivative", Config("finite_difference")}, {"epsilon", Config(epsilon)}})),
                                      *codes.score, v)
                                 .gradients,
                             truth.gradients));
    EXPECT_NEAR(log_slope(test_epsilons(), errors), 2, 0.1) << name;
  }
}

TEST(LatentScoreMatching, StockOperationsAgreeAndHaveNoJet) {
  const Tensor v = Rng(1, "v").normal({4, 3}, at::kDouble);
  const Codes fast("conditional_mlp", small()), stock("conditional_mlp", small("stock"));
  const Config nested = Config::table({{"derivative", Config("autograd")}});
  const Evaluated a = evaluate(*fast.objective(nested), *fast.score, v),
                  b = evaluate(*stock.objective(nested), *stock.score, v);
  EXPECT_NEAR(a.value, b.value, 1e-10);
  EXPECT_LE(worst(a.gradients, b.gradients), 1e-10);
  EXPECT_THROW(stock.objective(Config::table({{"derivative", Config("jet")}})), RequestError);
}

// Upper bound of FD-SSM, whose value for log N(v; 3, 5) is exact at any ε: -1/5 + ½ ((v - 3)/5)².
TEST(LatentFiniteDifference, BoundsFiniteDifferenceScoreMatchingFromAbove) {
  const torch::NoGradGuard no_grad;
  const LinearDecoder decoder(2, 3);
  const auto prior = make_normal_prior(1);
  const auto joint = make_decoder_energy(decoder, *prior);
  const std::int64_t rows = 4000;
  const Tensor v = torch::full({rows, 1}, 4.5, at::kDouble), u = torch::ones({rows, 1}, at::kDouble);
  const double truth = -0.2 + 0.5 * 0.09;
  const auto bound = [&](bool shared, double a, double b, double s) {
    LatentFiniteDifferenceOptions options;
    options.epsilon = 0.05;
    options.shared = shared;
    const LinearPosterior q(a, b, s);
    return latent_finite_difference_loss(options, *joint, q, v, u, Rng(5, "bound")).item<double>();
  };
  const double shared = bound(true, 0.3, -0.7, 0.6), independent = bound(false, 0.3, -0.7, 0.6);
  EXPECT_GT(shared, truth);
  EXPECT_LT(shared, truth + 2);
  EXPECT_GT(independent - truth, 100 * (shared - truth));
  // With the true posterior there is no slack.
  EXPECT_NEAR(bound(true, 0.4, -1.2, std::sqrt(0.2)), truth, 1e-6);
}

TEST(LatentFiniteDifference, DifferentiatesItsLoggedValueInAllParts) {
  LinearDecoder decoder(2, 3);
  LinearPosterior posterior(0.3, -1, 0.7);
  const auto prior = make_normal_prior(1);
  ObjectiveParts parts;
  parts.latent.encoder = &posterior;
  parts.latent.decoder = &decoder;
  parts.latent.prior = prior.get();
  const auto objective = find_entry(objective_table(), "objective", "latent_fd_ssm", "").make(Config::table(), parts);
  const Tensor v = Rng(1, "v").normal({6, 1}, at::kDouble);
  for (torch::nn::Module* module : {&posterior.module(), &decoder.module()}) {
    const auto exact = gradients(loss_at(*objective, v).backward, *module);
    const std::vector<Tensor> all = module->parameters();
    for (std::size_t p = 0; p < all.size(); ++p) {
      Tensor element = all[p].detach();
      const double step = 1e-5, centre = element.item<double>();
      element.fill_(centre + step);
      const double plus = loss_at(*objective, v).log[0].second.item<double>();
      element.fill_(centre - step);
      const double minus = loss_at(*objective, v).log[0].second.item<double>();
      element.fill_(centre);
      const double numeric = (plus - minus) / (2 * step);
      EXPECT_NEAR(exact[p].item<double>(), numeric, 1e-5 * std::max(1.0, std::abs(numeric))) << p;
    }
  }
  parts.latent.prior = nullptr;
  EXPECT_THROW(make_latent_finite_difference({}, parts), RequestError);
}

TEST(LatentObjectives, SayWhatTheyNeed) {
  ObjectiveParts parts;
  for (const char* name : {"autoencoder", "latent_ssm_vr", "latent_fd_ssm"})
    EXPECT_THROW(find_entry(objective_table(), "objective", name, "").make(Config::table(), parts), RequestError);
  LinearDecoder decoder(2, 3);
  LinearPosterior posterior(0.3, -1, 0.7);
  const auto prior = make_normal_prior(1);
  const auto estimator = make_stein_estimator({});
  parts.latent = {&posterior, &decoder, prior.get(), nullptr, estimator.get()};
  EXPECT_THROW(make_autoencoder({}, parts), RequestError);  // one particle per example
  AutoencoderOptions options;
  options.aggregate = true;
  EXPECT_NO_THROW(make_autoencoder(options, parts));
}

// With an encoder whose divergence has a formula, ELBO = log p(v | h) - KL at the very draws of the encoder.
TEST(Autoencoder, ClosedFormDivergenceIsThatOfTheEncoder) {
  LinearDecoder decoder(1.7, 0.4);
  LatentContext context;
  context.event = {1};
  context.latent_size = 1;
  context.dtype = at::kDouble;
  GaussianPosteriorOptions encoding;
  encoding.hidden = {4};
  const auto encoder = make_gaussian_posterior(encoding, context);
  const auto prior = make_normal_prior(1);
  ObjectiveParts parts;
  parts.latent = {encoder.get(), &decoder, prior.get(), nullptr, nullptr};
  AutoencoderOptions options;
  options.divergence = "closed_form";
  options.regularisation = 3;
  const Tensor v = Rng(1, "v").normal({5, 1}, at::kDouble);
  Rng rng(9, "objective");
  const Tensor h = encoder->sample(v, 1, rng);
  const PosteriorMoments q = *encoder->moments(v);
  const Tensor divergence = 0.5 * (q.mean.square() + q.variance - 1 - q.variance.log()).sum(1);
  const Tensor truth = (-decoder.log_prob(v, h)[0] + 3 * divergence).mean();
  const Loss loss = loss_at(*make_autoencoder(options, parts), v);
  EXPECT_NEAR(loss.backward.item<double>(), truth.item<double>(), 1e-12);
  EXPECT_LE(worst(gradients(loss.backward, encoder->module()), gradients(truth, encoder->module())), 1e-12);

  // A fifth of the way into a warm-up over half of the updates λ is two fifths of its value.
  options.warmup = 0.5;
  const auto warming = make_autoencoder(options, parts);
  const Tensor early = (-decoder.log_prob(v, h)[0] + 0.4 * 3 * divergence).mean();
  EXPECT_NEAR(loss_at(*warming, v, 0.2).backward.item<double>(), early.item<double>(), 1e-12);
  EXPECT_NEAR(loss_at(*warming, v, 0.7).backward.item<double>(), truth.item<double>(), 1e-12);

  LinearPosterior none(0.3, -0.2, 0.6);
  parts.latent.encoder = &none;
  EXPECT_THROW(make_autoencoder(options, parts), RequestError);
}

// A score of codes that is the gradient of an energy, on a sphere of dimension 2 or in the plane.
struct CodesWithEnergy {
  std::shared_ptr<const Manifold> manifold;
  LatentContext context;
  std::unique_ptr<Posterior> encoder;
  std::unique_ptr<LatentScore> score;
  std::unique_ptr<LatentPrior> prior;
  ObjectiveParts parts;
  explicit CodesWithEnergy(bool spherical, const char* name = "conditional_mlp") {
    if (spherical) manifold = make_sphere({2});
    context.event = {3};
    context.latent_size = 3;
    context.dtype = at::kDouble;
    context.init = Rng(3, "init");
    context.manifold = manifold;
    context.code_scale = spherical ? std::sqrt(3.0) : 1;
    ImplicitPosteriorOptions encoding;
    encoding.hidden = {5};
    encoding.noise = 2;
    encoder = make_implicit_posterior(encoding, context);
    score =
        find_entry(latent_score_table(), "score", name, "")
            .make(Config::table({{"hidden", Config::array({Config(6)})}, {"form", Config("inner_product")}}), context);
    prior = spherical ? make_uniform_prior(manifold) : make_normal_prior(3);
    parts.latent = {encoder.get(), nullptr, prior.get(), score.get(), nullptr};
  }
};

// ‖grad E‖² - 2ΔE of the codes by the whole Hessian H: on a sphere of dimension d the Laplacian is tr H - xᵀHx - d ⟨x, ∇E⟩,
// and the squared gradient loses ⟨x, ∇E⟩².
TEST(LatentMinimumVelocity, EqualsTheFullHessianAndLeavesTheEncoderAlone) {
  const Tensor v = Rng(1, "v").normal({4, 3}, at::kDouble);
  for (const bool spherical : {false, true})
    for (const char* name : {"conditional_mlp", "aggregate_mlp"}) {
      const CodesWithEnergy codes(spherical, name);
      Rng rng(9, "objective");
      const Tensor h = codes.encoder->sample(v, 1, rng)[0].detach().requires_grad_(true);
      const ScalarFunction energy = codes.score->energy_given(v);
      const Tensor value = energy.value(h), g = torch::autograd::grad({value.sum()}, {h}, {}, true, true)[0];
      Tensor squared = g.square().sum(1), laplacian = torch::zeros({4}, at::kDouble);
      Tensor along = torch::zeros({4}, at::kDouble);
      for (std::int64_t i = 0; i < 3; ++i) {
        const Tensor row = torch::autograd::grad({g.select(1, i).sum()}, {h}, {}, true, true)[0];
        laplacian = laplacian + row.select(1, i);
        along = along + h.select(1, i).detach() * (row * h.detach()).sum(1);
      }
      if (spherical) {
        const Tensor radial = (g * h.detach()).sum(1);
        squared = squared - radial.square();
        laplacian = laplacian - along - 2 * radial;
      }
      const Tensor level = value.square().mean();
      const Tensor truth = (squared - 2 * laplacian).mean() + 0.3 * 2 * level;
      const Evaluated expected = evaluated(truth, codes.score->module());
      const auto objective =
          find_entry(objective_table(), "objective", "latent_mvl", "")
              .make(Config::table({{"exact", Config(true)}, {"magnitude", Config(0.3)}}), codes.parts);
      const Evaluated found = evaluate(*objective, *codes.score, v);
      EXPECT_NEAR(found.value, expected.value, 1e-10) << name << spherical;
      EXPECT_LE(worst(found.gradients, expected.gradients), 1e-9) << name << spherical;
      for (const Tensor& of_encoder : torch::autograd::grad({loss_at(*objective, v).backward},
                                                            codes.encoder->module().parameters(), {}, {}, false, true))
        EXPECT_FALSE(of_encoder.defined());
    }
  const Codes vector("conditional_mlp", small());
  const auto prior = make_normal_prior(2);
  ObjectiveParts parts;
  parts.latent = {vector.encoder.get(), nullptr, prior.get(), vector.score.get(), nullptr};
  EXPECT_THROW(make_latent_minimum_velocity({}, parts), RequestError);
}

// The critic's loss and the encoder's, from logits by hand.
TEST(Adversarial, LossesOfCriticAndEncoder) {
  const CodesWithEnergy codes(true);
  const Tensor v = Rng(1, "v").normal({4, 3}, at::kDouble);
  Rng rng(9, "objective");
  const Tensor h = codes.encoder->sample(v, 1, rng)[0];
  const Tensor draws = codes.prior->sample(4, h, rng);
  const ScalarFunction energy = codes.score->energy_given(v);
  const Tensor d_prior = 1 / (1 + energy.value(draws).exp()), d_codes = 1 / (1 + energy.value(h.detach()).exp());
  const Tensor critic = -(d_prior + 1e-7).log().mean() - (1 - d_codes + 1e-7).log().mean() +
                        2 * 0.1 * energy.value(h.detach()).square().mean();
  const auto objective = find_entry(objective_table(), "objective", "latent_adversarial", "")
                             .make(Config::table({{"magnitude", Config(0.1)}}), codes.parts);
  const Evaluated expected = evaluated(critic, codes.score->module());
  const Evaluated found = evaluate(*objective, *codes.score, v);
  EXPECT_NEAR(found.value, expected.value, 1e-12);
  EXPECT_LE(worst(found.gradients, expected.gradients), 1e-10);

  const LatentContext& context = codes.context;
  MlpDecoderOptions decoding;
  decoding.hidden = {4};
  const auto decoder = make_mlp_decoder(decoding, context);
  ObjectiveParts parts = codes.parts;
  parts.latent.decoder = decoder.get();
  AutoencoderOptions options;
  options.divergence = "adversarial";
  options.regularisation = 10;
  const Tensor bits = v.gt(0).to(at::kDouble);
  Rng again(9, "objective");
  const Tensor of_bits = codes.encoder->sample(bits, 1, again);
  const Tensor fooled = -(1 / (1 + codes.score->energy_given(bits).value(of_bits[0]).exp())).log().mean();
  const Tensor truth = -decoder->log_prob(bits, of_bits).mean() + 10 * fooled;
  const Loss loss = loss_at(*make_autoencoder(options, parts), bits);
  EXPECT_NEAR(loss.backward.item<double>(), truth.item<double>(), 1e-11);
  EXPECT_LE(worst(gradients(loss.backward, codes.encoder->module()), gradients(truth, codes.encoder->module())), 1e-10);
}

// Both players of adversarial inference from logits by hand, noise falling with progress.
TEST(AdversarialInference, LossesOfCriticAndNetworks) {
  const CodesWithEnergy codes(true);
  MlpDecoderOptions decoding;
  decoding.hidden = {4};
  const auto decoder = make_mlp_decoder(decoding, codes.context);
  ObjectiveParts parts = codes.parts;
  parts.latent.decoder = decoder.get();
  Batch batch;
  batch.x = Rng(1, "v").normal({4, 3}, at::kDouble);
  batch.progress = 0.75;
  AdversarialInferenceOptions options;
  options.noise = 0.4;
  Rng rng(9, "objective");
  const Tensor h = codes.encoder->sample(batch.x, 1, rng)[0];
  const Tensor draws = codes.prior->sample(4, h, rng), made = decoder->mean(draws);
  const auto seen = [&](const Tensor& v) { return v + 0.1 * rng.normal(v.sizes(), v); };
  const Tensor real = seen(batch.x), fake = seen(made);
  const auto probability = [&](const Tensor& v, const Tensor& code) {
    return 1 / (1 + codes.score->energy_given(v).value(code).exp());
  };
  const Tensor critic =
      -probability(real, h.detach()).log().mean() - (1 - probability(fake.detach(), draws)).log().mean();
  const Tensor networks = -probability(fake, draws).log().mean() - (1 - probability(real, h)).log().mean();

  Rng of_critic(9, "objective"), of_networks(9, "objective");
  const Tensor found_critic = (*make_inference_critic(options, parts))(batch, of_critic).backward;
  const Tensor found_networks = (*make_adversarial_inference(options, parts))(batch, of_networks).backward;
  EXPECT_NEAR(found_critic.item<double>(), critic.item<double>(), 1e-11);
  EXPECT_NEAR(found_networks.item<double>(), networks.item<double>(), 1e-11);
  EXPECT_LE(worst(gradients(found_critic, codes.score->module()), gradients(critic, codes.score->module())), 1e-10);
  for (torch::nn::Module* module : {&codes.encoder->module(), &decoder->module()})
    EXPECT_LE(worst(gradients(found_networks, *module), gradients(networks, *module)), 1e-10);
  for (const Tensor& of_encoder :
       torch::autograd::grad({found_critic}, codes.encoder->module().parameters(), {}, {}, true, true))
    EXPECT_FALSE(of_encoder.defined());
  EXPECT_THROW(make_inference_critic(options, codes.parts), RequestError);
}

// The divergence by draws has the closed form's mean, and takes a mixture, whose means it pulls.
TEST(Autoencoder, DivergenceByDraws) {
  const LatentContext context = CodesWithEnergy(false).context;
  GaussianPosteriorOptions encoding;
  encoding.hidden = {4};
  const auto encoder = make_gaussian_posterior(encoding, context);
  MlpDecoderOptions decoding;
  decoding.hidden = {4};
  const auto decoder = make_mlp_decoder(decoding, context);
  const auto normal = make_normal_prior(context.latent_size);
  ObjectiveParts parts;
  parts.latent = {encoder.get(), decoder.get(), normal.get()};
  const Tensor v = Rng(1, "v").uniform({3, 3}, at::kDouble).gt(0.5).to(at::kDouble);
  AutoencoderOptions options;
  options.divergence = "draws";
  options.particles = 20000;
  const double drawn = loss_at(*make_autoencoder(options, parts), v).log.back().second.item<double>();
  Rng rng(1, "closed");
  const double exact = encoder->sample_with_divergence(v, 1, rng)->divergence.mean().item<double>();
  const Tensor h = encoder->sample(v, 2000, rng);
  const Tensor spread = (encoder->log_prob(v, h) + normal->energy(h)).var(0).mean();
  EXPECT_NEAR(drawn, exact, 4 * std::sqrt(spread.item<double>() / 60000));

  MixturePriorOptions mixing;
  mixing.components = 3;
  mixing.learn_prior = true;
  const auto mixture = make_mixture_prior(mixing, context.latent_size, context);
  parts.latent.prior = mixture.get();
  const Tensor loss = loss_at(*make_autoencoder(options, parts), v).backward;
  for (const Tensor& gradient : gradients(loss, *mixture->module())) EXPECT_GT(gradient.abs().max().item<double>(), 0);
  options.divergence = "closed_form";
  EXPECT_THROW(make_autoencoder(options, parts), RequestError);
}

// Pair by pair; nothing in the mean for equal laws, more the further apart.
TEST(MeanDiscrepancy, PairByPair) {
  const Tensor x = Rng(1, "x").normal({5, 2}, at::kDouble);
  const Tensor y = (Rng(2, "y").normal({5, 2}, at::kDouble) + 0.5).requires_grad_(true);
  const auto distance = [](const Tensor& a, const Tensor& b) { return (a - b).square().sum().item<double>(); };
  std::vector<double> across, own;
  for (int i = 0; i < 5; ++i)
    for (int j = 0; j < 5; ++j) {
      across.push_back(distance(x[i], y[j]));
      own.push_back(distance(x[i], x[j]));
    }
  // The tenth of the largest: ten pairs of different points each way round make twenty.
  std::sort(across.rbegin(), across.rend());
  std::sort(own.rbegin(), own.rend());
  const double s = across[9] + own[9];
  double truth = 0;
  for (int i = 0; i < 5; ++i)
    for (int j = 0; j < 5; ++j) {
      if (i != j) truth += (std::exp(-distance(x[i], x[j]) / (2 * s)) + std::exp(-distance(y[i], y[j]) / (2 * s))) / 20;
      truth -= 2 * std::exp(-distance(x[i], y[j]) / (2 * s)) / 25;
    }
  const Tensor found = mean_discrepancy(x, y);
  EXPECT_NEAR(found.item<double>(), truth, 1e-12);
  // The gradient, through s too, is that of finite differences.
  const Tensor gradient = torch::autograd::grad({found}, {y})[0];
  Tensor moved = y.detach().clone();
  moved[2][1] += 1e-6;
  const double up = mean_discrepancy(x, moved).item<double>();
  moved[2][1] -= 2e-6;
  EXPECT_NEAR(gradient[2][1].item<double>(), (up - mean_discrepancy(x, moved).item<double>()) / 2e-6, 1e-7);
  EXPECT_THROW(mean_discrepancy(x.narrow(0, 0, 1), y.narrow(0, 0, 1)), RequestError);
}

}  // namespace
}  // namespace gibbsite
