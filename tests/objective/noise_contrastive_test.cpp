#include <gibbsite/core/error.h>
#include <gtest/gtest.h>

#include "objective/objective_helpers.h"

namespace gibbsite {
namespace {

// The cross entropy of the two classes, written with probabilities, and the normaliser by a search over a grid.
TEST(NoiseContrastive, IsTheCrossEntropyAtTheBestConstant) {
  auto energy = make_energy("quadratic", {2}, Config::table({{"stiffness", Config(0.8)}}));
  const Tensor x = Rng(4, "x").normal({7, 2}, at::kDouble);
  const double sigma = 1.3;
  const std::int64_t ratio = 3;
  Rng rng(9, "objective");
  std::vector<Tensor> draws;
  for (std::int64_t k = 0; k < ratio; ++k) draws.push_back(sigma * rng.normal(x.sizes(), x));
  const Tensor noise = at::cat(draws);
  const auto model = [&](const Tensor& p, double c) { return (-0.4 * p.square().sum(1) - c).exp(); };
  const auto law = [&](const Tensor& p) {
    return static_cast<double>(ratio) * (-p.square().sum(1) / (2 * sigma * sigma)).exp() / (2 * M_PI * sigma * sigma);
  };
  const auto cross_entropy = [&](double c) {
    const Tensor data = model(x, c) / (model(x, c) + law(x)), other = law(noise) / (model(noise, c) + law(noise));
    return -data.log().mean().item<double>() - static_cast<double>(ratio) * other.log().mean().item<double>();
  };
  double best = INFINITY;
  for (double c = -5; c < 5; c += 1e-3) best = std::min(best, cross_entropy(c));
  Config options = Config::table({{"sigma", Config(sigma)}, {"ratio", Config(ratio)}});
  EXPECT_NEAR(evaluate(*make_objective("nce", *energy, options), *energy, x).value, best, 1e-6);
  options.set("normaliser", Config("model"));
  EXPECT_NEAR(evaluate(*make_objective("nce", *energy, options), *energy, x).value, cross_entropy(0), 1e-10);
}

// E = k ‖x‖²/2 on N(0, I) in two dimensions: the best k is 1 and the constant is log Z = log 2π, under every noise law.
TEST(NoiseContrastive, OptimumSignAndNormaliser) {
  const std::int64_t rows = 20000;
  const Tensor x = Rng(1, "data").normal({rows, 2}, at::kDouble);
  for (const char* law : {"gaussian", "laplace", "student"}) {
    const Config options = Config::table({{"sigma", Config(1.2)}, {"law", Config(law)}});
    const auto slope = [&](double k) {
      auto energy = make_energy("quadratic", {2}, Config::table({{"stiffness", Config(k)}}));
      return evaluate(*make_objective("nce", *energy, options), *energy, x).gradients[0].item<double>();
    };
    EXPECT_LT(slope(0.9), 0) << law;
    EXPECT_GT(slope(1.1), 0) << law;
    auto energy = make_energy("quadratic", {2}, Config::table({{"stiffness", Config(1)}}));
    Rng rng(9, "objective");
    Batch batch;
    batch.x = x;
    const Loss loss = (*make_objective("nce", *energy, options))(batch, rng);
    EXPECT_EQ(loss.log[1].first, "log_normaliser");
    EXPECT_NEAR(loss.log[1].second.item<double>(), std::log(2 * M_PI), 0.05) << law;
  }
}

// However far the model is from the data, the reported constant is a minimum: the slope of the cross entropy changes sign.
TEST(NoiseContrastive, FindsExtremeConstants) {
  for (const double k : {1e-6, 1e4}) {
    auto energy = make_energy("quadratic", {2}, Config::table({{"stiffness", Config(k)}}));
    const Tensor x = Rng(4, "x").normal({50, 2}, at::kDouble);
    const Loss nce = loss_at(*make_objective("nce", *energy, Config::table()), x);
    const double c = nce.log[1].second.item<double>();
    Rng rng(9, "objective");
    const Tensor noise = rng.normal(x.sizes(), x);
    const auto slope = [&](double constant) {
      const auto odds = [&](const Tensor& p) {
        return (0.5 - 0.5 * k) * p.square().sum(1) + std::log(2 * M_PI) - constant;
      };
      return (-odds(x)).sigmoid().mean().item<double>() - odds(noise).sigmoid().mean().item<double>();
    };
    EXPECT_LT(slope(c - 1e-4), 0) << k;
    EXPECT_GT(slope(c + 1e-4), 0) << k;
    EXPECT_TRUE(gradients(nce.backward, energy->module())[0].isfinite().all().item<bool>());
  }
}

TEST(NoiseContrastive, OptionsOfTheOtherContrastAreNotRead) {
  auto energy = make_energy("quadratic", {2}, Config::table());
  const Config shift = Config::table({{"contrast", Config("shift")}, {"ratio", Config(2)}});
  make_objective("nce", *energy, shift);
  EXPECT_THROW(shift.require_all_read("objective"), RequestError);
}

}  // namespace
}  // namespace gibbsite
