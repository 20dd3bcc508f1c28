#include <gibbsite/core/error.h>
#include <gibbsite/posterior/bernoulli.h>
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

std::unique_ptr<Objective> vnce(Grbm& machine, const Posterior& encoder, const Config& options) {
  ObjectiveParts parts;
  parts.latent.joint = &machine;
  parts.latent.encoder = &encoder;
  return find_entry(objective_table(), "objective", "vnce", "").make(options, parts);
}

// The cross entropy of the two classes, with probabilities: of the marginal, by enumeration, where the encoder is the posterior,
// whatever is drawn; of the draws themselves with another encoder.
TEST(VariationalNoiseContrastive, IsTheCrossEntropyOfItsOdds) {
  auto grbm = test_grbm();
  LatentContext context;
  static_cast<ModelContext&>(context) = latent_model_context({3});
  context.latent_size = 4;
  BernoulliPosteriorOptions drawn;
  static_cast<BernoulliDrawOptions&>(drawn) = hard();
  const auto exact = make_exact_posterior(*grbm, hard()), affine = make_bernoulli_posterior(drawn, context);
  const double sigma = 1.3;
  const std::int64_t ratio = 2, particles = 3;
  const Config options = Config::table({{"sigma", Config(sigma)},
                                        {"ratio", Config(ratio)},
                                        {"particles", Config(particles)},
                                        {"normaliser", Config("model")}});
  const Tensor x = Rng(7, "x").normal({6, 3}, at::kDouble);
  const auto law = [&](const Tensor& p) {
    return static_cast<double>(ratio) * (-p.square().sum(1) / (2 * sigma * sigma)).exp() /
           std::pow(2 * M_PI * sigma * sigma, 1.5);
  };
  for (const bool by_draws : {false, true}) {
    const Posterior& q = by_draws ? *affine : *exact;
    Rng rng(9, "objective");
    const auto density = [&](const Tensor& p, std::int64_t draws) -> Tensor {
      const Tensor h = q.sample(p, draws, rng);
      if (!by_draws) return (-grbm->energy(p)).exp();
      return ((-grbm->joint(p, h)).exp() / q.log_prob(p, h).exp()).mean(0);
    };
    const Tensor of_data = density(x, 1);
    Tensor sum = -(of_data / (of_data + law(x))).log().mean();
    for (std::int64_t k = 0; k < ratio; ++k) {
      const Tensor y = sigma * rng.normal(x.sizes(), x), of_noise = density(y, particles);
      sum = sum - (law(y) / (of_noise + law(y))).log().mean();
    }
    const auto objective = vnce(*grbm, q, options);
    const Loss loss = loss_at(*objective, x);
    EXPECT_NEAR(loss.log[0].second.item<double>(), sum.item<double>(), 1e-10) << by_draws;
    // The model's own posterior is frozen with the draws, so that log q counts as a number.
    if (by_draws) {
      EXPECT_LE(worst(gradients(loss.backward, grbm->module()), gradients(sum, grbm->module())), 1e-9);
      loss.backward.backward();
      for (const Tensor& p : affine->module().parameters()) EXPECT_FALSE(p.grad().defined());
    }
  }
}

// The trained constant goes where the best one of the batch is, and is part of the state.
TEST(VariationalNoiseContrastive, LearnsItsConstant) {
  auto grbm = test_grbm();
  const auto exact = make_exact_posterior(*grbm, hard());
  const Tensor x = Rng(7, "x").normal({50, 3}, at::kDouble);
  const auto constant = [&](const Objective& objective) { return loss_at(objective, x).log[1].second.item<double>(); };
  const Config rate = Config::table({{"normaliser_rate", Config(0.02)}});
  const auto learning = vnce(*grbm, *exact, rate), again = vnce(*grbm, *exact, rate);
  EXPECT_EQ(constant(*learning), 0);
  for (int update = 0; update < 600; ++update) constant(*learning);
  const double best = constant(*vnce(*grbm, *exact, Config::table({{"normaliser", Config("profile")}})));
  EXPECT_GT(std::abs(best), 1);
  EXPECT_NEAR(constant(*learning), best, 1e-3);
  again->restore(learning->state());
  EXPECT_EQ(constant(*again), constant(*learning));
}

}  // namespace
}  // namespace gibbsite
