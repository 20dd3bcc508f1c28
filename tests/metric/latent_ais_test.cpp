#include <gibbsite/manifold/sphere.h>
#include <gibbsite/manifold/von_mises_fisher.h>
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

// log p(v | h) = κ ⟨v, h⟩ with h uniform on a sphere: log p(v) = log C(0)/C(κ) of the von Mises–Fisher law, whatever v.
class Aligned : public LatentEnergy {
 public:
  Aligned(double kappa, const LatentPrior& prior) : kappa_(kappa), prior_(prior) {}
  using LatentEnergy::joint;
  Tensor joint(const Tensor& v, const Tensor& h) const override { return prior_.energy(h) - kappa_ * (v * h).sum(-1); }

 private:
  double kappa_;
  const LatentPrior& prior_;
};

TEST(LatentAis, GivesNormalisersOfVonMisesFisherLawsOnSpheres) {
  for (const auto& [d, kappa] : std::vector<std::pair<std::int64_t, double>>{{2, 10.0}, {8, 1.0}, {8, 10.0}}) {
    const auto prior = make_uniform_prior(make_sphere({d}));
    const Aligned joint(kappa, *prior);
    Rng rng(1, "v");
    const Tensor v = prior->sample(2, torch::empty({0}, at::kDouble), rng);
    LatentAisOptions options = quick();
    options.chains = 1500;
    options.temperatures = 300;
    const LatentAisResult found = latent_annealed_importance(joint, *prior, v, options, Rng(1, "ais"));
    const Tensor ends = vmf_log_normaliser(torch::tensor({1e-12, kappa}, at::kDouble), d + 1);
    const double truth = (ends[0] - ends[1]).item<double>();
    EXPECT_LT((found.log_likelihood - truth).abs().max().item<double>(), 0.02)
        << d << " " << kappa << " " << truth << found.log_likelihood;
    EXPECT_GT(found.acceptance, 0.6);
  }
}

}  // namespace
}  // namespace gibbsite
