// VaES and VaGES, and the posteriors they draw from.
#include <gibbsite/core/error.h>
#include <gibbsite/posterior/bernoulli.h>
#include <gibbsite/posterior/corrected.h>
#include <gibbsite/posterior/gaussian.h>
#include <gibbsite/posterior/reparameterised.h>
#include <gibbsite/posterior/variational_score.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "posterior/given_draws.h"
#include "posterior/latent_models.h"

namespace gibbsite {
namespace {

double number(const Tensor& t) { return t.item<double>(); }

BernoulliDrawOptions hard() {
  BernoulliDrawOptions options;
  options.draw = "hard";
  return options;
}

TEST(ExactPosterior, DensitiesAreJointOverMarginal) {
  auto grbm = test_grbm();
  auto gaussian = test_gaussian_latent();
  const Tensor v = Rng(1, "v").normal({5, 3}, at::kDouble);
  const Tensor bits = Rng(1, "h").uniform({6, 5, 4}, at::kDouble).gt(0.5).to(at::kDouble);
  const auto of_grbm = make_exact_posterior(*grbm, hard());
  EXPECT_TRUE(at::allclose(of_grbm->log_prob(v, bits), grbm->energy(v) - grbm->joint(v, bits), 1e-12, 1e-12));
  const Tensor h = Rng(1, "h").normal({6, 5, 2}, at::kDouble);
  const auto of_gaussian = make_exact_posterior(*gaussian);
  EXPECT_TRUE(at::allclose(of_gaussian->log_prob(v, h), gaussian->energy(v) - gaussian->joint(v, h), 1e-12, 1e-12));
  EXPECT_TRUE(of_grbm->module().parameters().empty());
  EXPECT_TRUE(of_gaussian->module().parameters().empty());
}

// τ logit(h) - ℓ is a standard logistic number for every τ; a hard draw is 1 with probability sigmoid(ℓ).
TEST(BernoulliPosterior, DrawsFollowTheirLaws) {
  auto grbm = test_grbm();
  const std::int64_t n = 100000;
  const Tensor v = Rng(1, "v").normal({1, 3}, at::kDouble), logits = grbm->latent_logits(v).detach();
  BernoulliDrawOptions options;
  for (const double temperature : {0.3, 1.0}) {
    options.temperature = temperature;
    Rng rng(2, "draw");
    const Tensor h = make_exact_posterior(*grbm, options)->sample(v, n, rng).detach().squeeze(1);
    const Tensor noise = temperature * (h.log() - (-h).log1p()) - logits;
    for (const double at : {-2.0, 0.0, 1.5}) {
      const double below = 1 / (1 + std::exp(-at)), error = std::sqrt(below * (1 - below) / double(n));
      EXPECT_LT(number((noise.lt(at).to(at::kDouble).mean(0) - below).abs().max()), 4 * error) << at;
    }
  }
  Rng rng(2, "draw");
  const Tensor h = make_exact_posterior(*grbm, hard())->sample(v, n, rng).squeeze(1), p = logits.sigmoid().squeeze(0);
  EXPECT_TRUE(h.eq(0).logical_or(h.eq(1)).all().item<bool>());
  EXPECT_LT(number(((h.mean(0) - p) / (p * (1 - p) / double(n)).sqrt()).abs().max()), 4);
}

// Against autograd through draws that move with the logits, of a function of them that is not linear.
TEST(BernoulliPosterior, GradientsInTheLogitsHaveFormulas) {
  auto grbm = test_grbm();
  BernoulliDrawOptions options;
  options.temperature = 0.4;
  const auto posterior = make_exact_posterior(*grbm, options);
  const auto& q = dynamic_cast<const ReparameterisedPosterior&>(*posterior);
  const Tensor law = Rng(1, "law").normal({5, 4}, at::kDouble).requires_grad_(true);
  Rng rng(2, "draw");
  const Tensor h = q.draw(law, 1, rng), fixed = h.detach();
  const auto f = [](const Tensor& x) { return (x.pow(3) - x.cos()).sum(); };
  const Tensor at = fixed.clone().requires_grad_(true), slope = torch::autograd::grad({f(at)}, {at})[0];
  const Tensor truth = torch::autograd::grad({f(h) + q.log_density(law, h).sum()}, {law})[0];
  EXPECT_TRUE(at::allclose(q.drawn_gradient(law, fixed, slope).squeeze(0), truth, 1e-12, 1e-12));
  const Tensor of_density = torch::autograd::grad({q.log_density(law, fixed).sum()}, {law})[0];
  EXPECT_TRUE(at::allclose(q.density_gradient(law, fixed).squeeze(0), of_density, 1e-12, 1e-12));
  EXPECT_GT((truth - of_density).abs().min().item<double>(), 1e-6);
}

// The two kinds of noise that float32 uniforms end in are finite.
TEST(BernoulliPosterior, RelaxedDrawsAreFiniteInFloat) {
  LatentContext context;
  context.event = {2};
  context.latent_size = 64;
  auto q = make_bernoulli_posterior({}, context);
  Rng rng(2, "draw");
  const Tensor h = q->sample(Rng(1, "v").normal({500, 2}, at::kFloat), 20, rng);
  EXPECT_TRUE(h.isfinite().all().item<bool>());
  EXPECT_TRUE(h.ge(0).logical_and(h.le(1)).all().item<bool>());
  EXPECT_EQ(q->module().parameters().size(), 2u);
}

// Without noise h - μ shrinks by 1 - α/2 a step; noise adds σ² Σ (1 - α/2)^2i to the variance.
TEST(Corrector, StepsOfTheSheet) {
  auto model = test_gaussian_latent();
  LatentContext context;
  context.event = {3};
  context.latent_size = 2;
  context.dtype = at::kDouble;
  GaussianPosteriorOptions affine;
  affine.hidden = {};
  affine.deviation = "exp";
  const auto q = make_gaussian_posterior(affine, context);
  EXPECT_EQ(q->module().parameters().size(), 2u);
  CorrectorOptions options;
  options.step_size = 0.3;
  options.noise = 0;
  options.steps = 7;
  const Tensor v = Rng(1, "v").normal({4, 3}, at::kDouble), mean = model->latent_mean(v).detach();
  const auto draw = [&](std::int64_t particles) {
    Rng of_q(5, "draw"), of_corrected(5, "draw");
    const Tensor corrected = make_corrected_posterior(options, *model, *q)->sample(v, particles, of_corrected);
    EXPECT_FALSE(corrected.requires_grad());
    return std::pair(q->sample(v, particles, of_q).detach(), corrected);
  };
  const auto [start, end] = draw(3);
  EXPECT_TRUE(at::allclose(end, mean + std::pow(0.85, 7) * (start - mean), 1e-12, 1e-12));
  options.noise = 0.4;
  const std::int64_t n = 20000;
  const auto [many, noisy] = draw(n);
  const Tensor noise = noisy - mean - std::pow(0.85, 7) * (many - mean);
  const double variance = 0.16 * (1 - std::pow(0.85, 14)) / (1 - 0.85 * 0.85);
  EXPECT_LT(number(noise.mean(0).abs().max()), 4.5 * std::sqrt(variance / double(n)));
  EXPECT_LT(number((noise.var(0) / variance - 1).abs().max()), 4.5 * std::sqrt(2 / double(n)));

  auto grbm = test_grbm();
  const auto binary = make_exact_posterior(*grbm, hard());
  EXPECT_THROW(make_corrected_posterior(options, *grbm, *binary), RequestError);
  EXPECT_THROW(make_corrected_posterior(options, *grbm, *q), RequestError);
}

// However many steps there are, the work on v is done once.
TEST(Corrector, LooksAtWhatIsSeenOnce) {
  class Counting : public LatentEnergy {
   public:
    explicit Counting(const LatentEnergy& inner) : inner_(inner) {}
    using LatentEnergy::joint;
    Tensor joint(const Tensor& v, const Tensor& h) const override {
      ++joints;
      return inner_.joint(v, h);
    }
    std::function<Tensor(const Tensor&)> given(const Tensor& v) const override {
      ++givens;
      return inner_.given(v);
    }
    mutable int joints = 0, givens = 0;

   private:
    const LatentEnergy& inner_;
  };
  auto model = test_gaussian_latent();
  const auto q = make_exact_posterior(*model);
  const Counting counting(*model);
  Rng rng(5, "draw");
  make_corrected_posterior({}, counting, *q)->sample(torch::zeros({4, 3}, at::kDouble), 2, rng);
  EXPECT_EQ(counting.joints, 0);
  EXPECT_EQ(counting.givens, 1);
}

// Σ_b z_bᵀ (ê + ĉ) written out draw by draw from its definition.
Tensor printed(LatentModel& model, const Tensor& v, const Tensor& z, const Tensor& of_mean,
               const Tensor& of_covariance) {
  const std::vector<Tensor> parameters = model.module().parameters();
  const std::int64_t l = of_mean.size(0);
  Tensor result = torch::zeros_like(flat(parameters));
  for (std::int64_t b = 0; b < v.size(0); ++b) {
    std::vector<Tensor> g, t;
    for (std::int64_t i = 0; i < l; ++i) {
      const Tensor x = v.narrow(0, b, 1).clone().requires_grad_(true);
      const auto log_p = [&](const Tensor& h) { return -model.joint(x, h[i][b].view({1, 1, -1})).sum(); };
      const Tensor slope = torch::autograd::grad({log_p(of_mean)}, {x}, {}, true, true)[0];
      const std::vector<Tensor> mixed = torch::autograd::grad({(slope * z[b]).sum()}, parameters, {}, {}, false, true);
      result += flat(mixed, parameters) / static_cast<double>(l);
      g.push_back(torch::autograd::grad({log_p(of_covariance)}, {x})[0].flatten());
      t.push_back(flat(torch::autograd::grad({log_p(of_covariance)}, parameters)));
    }
    const Tensor all_g = at::stack(g), all_t = at::stack(t);
    const Tensor covariance =
        (all_g.t().matmul(all_t) - at::outer(all_g.sum(0), all_t.sum(0)) / double(l)) / double(l - 1);
    result += z[b].matmul(covariance);
  }
  return result.detach();
}

TEST(VariationalScore, SurrogateIsTheSampleFormula) {
  auto grbm = test_grbm();
  auto gaussian = test_gaussian_latent();
  for (LatentModel* model : {static_cast<LatentModel*>(grbm.get()), static_cast<LatentModel*>(gaussian.get())})
    for (const bool share : {false, true}) {
      VariationalScoreOptions options;
      options.particles = 4;
      options.share = share;
      const Tensor h = Rng(1, "h").uniform({12, 3, model->latent_size()}, at::kDouble);
      const Tensor v = Rng(1, "v").normal({3, 3}, at::kDouble), z = Rng(1, "z").normal({3, 3}, at::kDouble);
      GivenDraws draws(h);
      Rng rng(1, "none");
      const ScoreEval score = make_variational_score(options, *model, draws)->at(v, rng);
      EXPECT_TRUE(at::allclose(score.value, variational_score(*model, v, h.narrow(0, 0, 4)), 1e-12, 1e-12));
      for (int again = 0; again < 2; ++again) {
        const Tensor gradient =
            flat(torch::autograd::grad({score.pullback(z)}, model->module().parameters(), {}, true));
        const Tensor truth = printed(*model, v, z, h.narrow(0, 4, 4), h.narrow(0, share ? 4 : 8, 4));
        EXPECT_TRUE(at::allclose(gradient, truth, 1e-10, 1e-10)) << share;
      }
    }
}

// With draws of the exact posterior, the means of 100000 VaES and VaGES at a point are the marginal's score and its gradient.
// Some rows of the gradient come from the covariance alone: those of c.
TEST(VariationalScore, IsExactInExpectationUnderTheExactPosterior) {
  auto grbm = test_grbm();
  auto gaussian = test_gaussian_latent();
  const auto of_grbm = make_exact_posterior(*grbm, hard());
  const auto of_gaussian = make_exact_posterior(*gaussian);
  struct Case {
    LatentModel* model;
    Energy* marginal;
    Posterior* posterior;
  };
  const std::int64_t rows = 500, blocks = 200;
  for (const Case& c :
       {Case{grbm.get(), grbm.get(), of_grbm.get()}, Case{gaussian.get(), gaussian.get(), of_gaussian.get()}}) {
    const Tensor v = Rng(7, "v").normal({1, 3}, at::kDouble), z = Rng(7, "z").normal({1, 3}, at::kDouble);
    const std::vector<Tensor> parameters = c.model->module().parameters();
    Rng rng(8, "latents");
    const Tensor score = gibbsite::score(*c.marginal, v).flatten();
    const Tensor gradient =
        flat(torch::autograd::grad({make_energy_score(*c.marginal)->at(v, rng).pullback(z)}, parameters));
    for (const std::int64_t particles : {2, 5})
      for (const bool share : {false, true}) {
        VariationalScoreOptions options;
        options.particles = particles;
        options.share = share;
        const auto estimate = make_variational_score(options, *c.model, *c.posterior);
        std::vector<Tensor> scores, gradients;
        for (std::int64_t block = 0; block < blocks; ++block) {
          Rng own = rng.at_step(static_cast<std::uint64_t>(block));
          const ScoreEval at = estimate->at(v.expand({rows, 3}), own);
          scores.push_back(at.value.mean(0));
          const Tensor mean = at.pullback(z.expand({rows, 3}) / static_cast<double>(rows));
          gradients.push_back(flat(torch::autograd::grad({mean}, parameters)));
        }
        EXPECT_LT(worst_deviation(scores, score), 4) << particles << share;
        EXPECT_LT(worst_deviation(gradients, gradient), 4) << particles << share;
        // Precise enough to tell the gradient from one without its covariance.
        const Tensor error = (at::stack(gradients).std(0) / std::sqrt(static_cast<double>(blocks))).clamp_min(1e-12);
        const Tensor of_c = flat({torch::zeros_like(parameters[0]), torch::zeros_like(parameters[1]),
                                  torch::ones_like(parameters[2]), torch::zeros_like(parameters[3])});
        EXPECT_GT(number((gradient * of_c / error).abs().max()), 20) << particles << share;
      }
  }
}

// Relaxed draws of the exact logits are close and not exact.
TEST(VariationalScore, RelaxationLeavesASmallBias) {
  auto grbm = test_grbm();
  const auto relaxed = make_exact_posterior(*grbm, BernoulliDrawOptions());
  const std::int64_t rows = 500, blocks = 200;
  const Tensor v = Rng(7, "v").normal({1, 3}, at::kDouble), z = Rng(7, "z").normal({1, 3}, at::kDouble);
  const std::vector<Tensor> parameters = grbm->module().parameters();
  Rng rng(8, "latents");
  const Tensor truth = flat(torch::autograd::grad({make_energy_score(*grbm)->at(v, rng).pullback(z)}, parameters));
  const auto estimate = make_variational_score({}, *grbm, *relaxed);
  std::vector<Tensor> gradients;
  for (std::int64_t block = 0; block < blocks; ++block) {
    Rng own = rng.at_step(static_cast<std::uint64_t>(block));
    const Tensor mean = estimate->at(v.expand({rows, 3}), own).pullback(z.expand({rows, 3}) / double(rows));
    gradients.push_back(flat(torch::autograd::grad({mean}, parameters)));
  }
  EXPECT_GT(worst_deviation(gradients, truth), 4);
  EXPECT_LT(number((at::stack(gradients).mean(0) - truth).norm() / truth.norm()), 0.1);
}

TEST(VariationalScore, LeavesThePosteriorAloneAndRefusesOneParticle) {
  auto grbm = test_grbm();
  LatentContext context;
  context.event = {3};
  context.latent_size = 4;
  context.dtype = at::kDouble;
  auto q = make_bernoulli_posterior({}, context);
  Rng rng(1, "draw");
  const ScoreEval score = make_variational_score({}, *grbm, *q)->at(Rng(1, "v").normal({6, 3}, at::kDouble), rng);
  EXPECT_FALSE(score.value.requires_grad());
  score.pullback(score.value).backward();
  for (const Tensor& p : q->module().parameters()) EXPECT_FALSE(p.grad().defined());
  for (const Tensor& p : grbm->module().parameters()) EXPECT_TRUE(p.grad().defined());
  VariationalScoreOptions one;
  one.particles = 1;
  EXPECT_THROW(make_variational_score(one, *grbm, *q), RequestError);
}

}  // namespace
}  // namespace gibbsite
