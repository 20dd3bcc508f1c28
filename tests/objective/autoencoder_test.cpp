// Auto-encoders with codes that have no density formula, and the score matching of their codes.
#include <gibbsite/core/error.h>
#include <gibbsite/model/mlp_latent_score.h>
#include <gibbsite/objective/autoencoder.h>
#include <gibbsite/objective/entropy.h>
#include <gibbsite/objective/latent_finite_difference.h>
#include <gibbsite/objective/latent_score_matching.h>
#include <gibbsite/posterior/implicit.h>
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace gibbsite
