#include <gibbsite/metric/latent_ais.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include "posterior/linear_gaussian.h"

namespace gibbsite {
namespace {

LatentAisOptions quick() {
  LatentAisOptions options;
  options.chains = 1000;
  options.temperatures = 500;
  options.leapfrog_steps = 5;
  options.step_size = 0.1;
  options.rows = 6;
  return options;
}

// h ~ N(0, 1), v | h ~ N(2h + 3, 1): log p(v) = log N(v; 3, 5) (protocol sheet of minimum velocity learning, section 10).
TEST(LatentAis, GivesTheLikelihoodOfALinearGaussianDecoder) {
  LinearDecoder decoder(2, 3);
  for (Tensor& p : decoder.module().parameters()) p.requires_grad_(false);
  const auto prior = make_normal_prior(1);
  const auto joint = make_decoder_energy(decoder, *prior);
  const Tensor v = torch::tensor({{3.0}, {0.0}, {5.5}, {9.0}, {-4.0}, {2.0}}, at::kDouble);
  const LatentAisResult found = latent_annealed_importance(*joint, *prior, v, quick(), Rng(1, "ais"));
  ASSERT_EQ(found.log_likelihood.sizes(), (Shape{6}));
  const Tensor error = (found.log_likelihood - decoder.log_marginal(v)).abs();
  EXPECT_LT(error.max().item<double>(), 0.02) << error;
  EXPECT_GT(found.effective.min().item<double>(), 500);
  EXPECT_GT(found.acceptance, 0.65);
}

TEST(LatentAis, BlocksStartAfreshAndRepeat) {
  LinearDecoder decoder(2, 3);
  const auto prior = make_normal_prior(1);
  const auto joint = make_decoder_energy(decoder, *prior);
  const Tensor v = torch::tensor({{3.0}, {0.0}, {5.5}}, at::kDouble);
  LatentAisOptions options = quick();
  options.temperatures = 10;
  options.chains = 20;
  options.rows = 1;
  const Tensor all = latent_annealed_importance(*joint, *prior, v, options, Rng(1, "ais")).log_likelihood;
  EXPECT_TRUE(torch::equal(latent_annealed_importance(*joint, *prior, v, options, Rng(1, "ais")).log_likelihood, all));
  const Tensor last =
      latent_annealed_importance(*joint, *prior, v.narrow(0, 2, 1), options, Rng(1, "ais").at_row(2 * options.chains))
          .log_likelihood;
  EXPECT_NEAR(last[0].item<double>(), all[2].item<double>(), 1e-12);
}

}  // namespace
}  // namespace gibbsite
