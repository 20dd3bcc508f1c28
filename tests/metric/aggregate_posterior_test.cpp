#include <gibbsite/core/error.h>
#include <gibbsite/metric/aggregate_posterior.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

// A Gaussian channel: x ~ N(0, I), z | x ~ N(a x, s² I), so that z ~ N(0, (a² + s²) I) and the information is K/2 log(1 +
// a²/s²).
class Channel : public Posterior {
 public:
  Channel(double information, std::int64_t size) : size_(size) {
    const double snr = std::expm1(2 * information / static_cast<double>(size));
    a_ = std::sqrt(snr / (1 + snr));
    s_ = std::sqrt(1 / (1 + snr));
  }
  Tensor sample(const Tensor& v, std::int64_t particles, Rng& rng) const override {
    return a_ * v + s_ * rng.normal_particles({particles, v.size(0), size_}, v);
  }
  Tensor log_prob(const Tensor& v, const Tensor& h) const override {
    return -0.5 * (((h - a_ * v) / s_).square() + std::log(2 * M_PI * s_ * s_)).sum(-1);
  }
  bool has_log_prob() const override { return true; }
  torch::nn::Module& module() override { return module_; }
  std::int64_t latent_size() const override { return size_; }

 private:
  std::int64_t size_;
  double a_, s_;
  torch::nn::Module module_;
};

Tensor standard_normal(const Tensor& z) { return -0.5 * (z.square() + std::log(2 * M_PI)).sum(-1); }

TEST(AggregatePosterior, InformationOfGaussianChannels) {
  const std::int64_t population = 20000;
  for (const std::int64_t size : {1, 4})
    for (const double truth : {0.3, 1.0, 2.0}) {
      const Channel channel(truth, size);
      const Tensor x = Rng(1, "x").normal({population, size}, at::kDouble);
      AggregateOptions options;
      options.batches = 10;
      const AggregatePosterior found =
          aggregate_posterior(channel, standard_normal, x, population, options, Rng(2, "aggregate"));
      for (const Estimate& information : {found.information, found.plain_information})
        EXPECT_NEAR(information.value, truth, 0.03 * truth + 3 * information.standard_error) << size << " " << truth;
      // z is standard normal, so that nothing is left to diverge.
      EXPECT_NEAR(found.divergence.value, 0, 0.02 + 3 * found.divergence.standard_error);
      EXPECT_NEAR(found.posterior_divergence.value, found.divergence.value + found.information.value, 1e-10);
      EXPECT_NEAR(found.posterior_divergence.value, truth, 4 * found.posterior_divergence.standard_error);
    }
}

// Beyond log B the plain estimate stops; the weighted one goes on to log N.
TEST(AggregatePosterior, ThePlainEstimateIsBoundedByItsBatch) {
  const Channel channel(8, 4);
  const Tensor x = Rng(1, "x").normal({2000, 4}, at::kDouble);
  AggregateOptions options;
  options.batch_size = 200;
  options.batches = 4;
  const AggregatePosterior found = aggregate_posterior(channel, standard_normal, x, 2000, options, Rng(2, "aggregate"));
  EXPECT_LE(found.plain_information.value, std::log(200.0));
  EXPECT_GT(found.information.value, std::log(200.0));
  EXPECT_LE(found.information.value, std::log(2000.0));
  options.batch_size = 3000;
  EXPECT_THROW(aggregate_posterior(channel, standard_normal, x, 2000, options, Rng(2, "aggregate")), RequestError);
}

}  // namespace
}  // namespace gibbsite
