#include <gibbsite/posterior/importance.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

#include "posterior/linear_gaussian.h"

namespace gibbsite {
namespace {

TEST(Iwae, BoundsByHand) {
  const Tensor bounds = iwae_bounds(torch::tensor({{0.0, 800.0}, {std::log(3.0), 800.0}}, at::kDouble));
  const Tensor expected = torch::tensor({{0.0, 800.0}, {std::log(2.0), 800.0}}, at::kDouble);
  EXPECT_TRUE(at::allclose(bounds, expected, 1e-12, 1e-12));
}

TEST(Sumo, TermsFollowTheirTail) {
  const std::int64_t rows = 50000;
  for (const std::int64_t knee : {1, 4, 80}) {
    SumoOptions options;
    options.knee = knee;
    EXPECT_DOUBLE_EQ(options.tail(1), 1);
    Rng rng(1, "terms");
    const Tensor terms = draw_terms(options, rows, rng);
    EXPECT_EQ(terms.min().item<std::int64_t>(), 1);
    for (const std::int64_t k : {2, 3, 4, 5, 20, 79, 80, 81, 90}) {
      const double p = options.tail(k), found = terms.ge(k).to(at::kDouble).mean().item<double>();
      EXPECT_NEAR(found, p, 4 * std::sqrt(p * (1 - p) / static_cast<double>(rows))) << knee << " " << k;
    }
  }
}

// With the true posterior every weight is p(v), and so is every estimate, whatever K.
TEST(Sumo, IsExactWithTheTruePosterior) {
  const LinearDecoder decoder(2, 3);
  const LinearPosterior posterior(2.0 / 5, -6.0 / 5, std::sqrt(1.0 / 5));
  const auto prior = make_normal_prior(1);
  const auto joint = make_decoder_energy(decoder, *prior);
  const Tensor v = Rng(1, "v").normal({50, 1}, at::kDouble) * 3;
  EXPECT_TRUE(at::allclose(sumo(*joint, posterior, v, {}, Rng(2, "sumo")), decoder.log_marginal(v), 1e-10, 1e-10));
}

TEST(Sumo, IsUnbiasedWhereIwaeIsNot) {
  const torch::NoGradGuard no_grad;
  const LinearDecoder decoder(2, 3);
  const LinearPosterior posterior(0.3, -0.7, 0.6);
  const auto prior = make_normal_prior(1);
  const auto joint = make_decoder_energy(decoder, *prior);
  const std::int64_t rows = 2000, rounds = 50;
  const Tensor v = torch::full({rows, 1}, 4.5, at::kDouble);
  const double truth = decoder.log_marginal(v)[0].item<double>();
  EXPECT_NEAR(truth, -0.5 * 2.25 / 5 - 0.5 * std::log(2 * M_PI * 5), 1e-12);
  std::vector<Tensor> all, first;
  for (std::int64_t r = 0; r < rounds; ++r) {
    const Rng rng = Rng(3, "sumo").at_step(static_cast<std::uint64_t>(r));
    all.push_back(sumo(*joint, posterior, v, {}, rng));
    Rng draws = rng.stream("draws");
    first.push_back(importance_log_weights(*joint, posterior, v, 1, draws)[0]);
  }
  const auto check = [&](const std::vector<Tensor>& parts) {
    const Tensor values = at::cat(parts);
    const double error = (values.std() / std::sqrt(static_cast<double>(values.numel()))).item<double>();
    EXPECT_LT(error, 0.02);
    return (values.mean().item<double>() - truth) / error;
  };
  EXPECT_LT(std::abs(check(all)), 4);
  EXPECT_LT(check(first), -10);
}

// Bounds of Eqs. 52 and 53 along v ± ε: log N(v; 3, 5) has slope -(v - 3)/5 and curvature -1/5 exactly. A posterior whose mean
// moved with v as the true one's does would leave differences without any noise.
TEST(Sumo, DifferencesWithSharedNoiseAreSmallAndUnbiased) {
  const torch::NoGradGuard no_grad;
  const LinearDecoder decoder(2, 3);
  const LinearPosterior posterior(0.3, -0.7, 0.6);
  const auto prior = make_normal_prior(1);
  const auto joint = make_decoder_energy(decoder, *prior);
  const std::int64_t rows = 5000;
  const Tensor v = torch::full({rows, 1}, 4.5, at::kDouble);
  struct Moments {
    double mean, error, variance, square;
  };
  const auto moments = [&](const Tensor& values) {
    const double variance = values.var().item<double>();
    return Moments{values.mean().item<double>(), std::sqrt(variance / static_cast<double>(rows)), variance,
                   values.square().mean().item<double>()};
  };
  std::vector<double> shared_variance, independent_variance;
  for (const double epsilon : {0.1, 0.01}) {
    const Rng rng(4, "sumo");
    const Tensor plus = sumo(*joint, posterior, v + epsilon, {}, rng),
                 minus = sumo(*joint, posterior, v - epsilon, {}, rng), centre = sumo(*joint, posterior, v, {}, rng),
                 other = sumo(*joint, posterior, v - epsilon, {}, rng.stream("other"));
    const double slope = -2 * epsilon * 1.5 / 5;
    const Moments first = moments(plus - minus), second = moments(plus + minus - 2 * centre);
    EXPECT_NEAR(first.mean, slope, 4 * first.error) << epsilon;
    EXPECT_NEAR(second.mean, -epsilon * epsilon / 5, 4 * second.error) << epsilon;
    // (E[A - B])² <= E[(A - B)²], here by the variance of A - B.
    EXPECT_GT(first.square, slope * slope) << epsilon;
    shared_variance.push_back(first.variance / (epsilon * epsilon));
    independent_variance.push_back(moments(plus - other).variance / (epsilon * epsilon));
  }
  // The slack over ε² stays with shared noise, and grows as 1/ε² with independent draws.
  EXPECT_NEAR(shared_variance[1] / shared_variance[0], 1, 0.2);
  EXPECT_NEAR(independent_variance[1] / independent_variance[0], 100, 20);
  EXPECT_GT(independent_variance[1], 1000 * shared_variance[1]);
}

}  // namespace
}  // namespace gibbsite
