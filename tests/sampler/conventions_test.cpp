// Each paper's update written out as the paper has it, against the kernel with the converted options.
#include <gibbsite/sampler/conventions.h>
#include <sampler/gaussians.h>

namespace gibbsite {
namespace {

const Tensor& start() {
  static const Tensor x = Rng(1, "x").uniform({9, 5}, torch::kDouble);
  return x;
}

Tensor energy_gradient(const Tensor& x) { return -score_of(testing::quartic(), x); }

Tensor omega() {
  Rng rng(2, "noise");
  return rng.normal(start().sizes(), start());
}

Tensor ours(const LangevinOptions& options, const Target& target = testing::quartic()) {
  Rng rng(2, "noise");
  return Langevin(options).step(target, start(), rng).x;
}

// Bit for bit where the paper's noise factor is √η itself; where it is √η·(s/√η) that product may be the neighbouring
// float64 of s.
void expect_same(const Tensor& mine, const Tensor& paper, double last_bits = 0) {
  if (last_bits == 0)
    EXPECT_TRUE(torch::equal(mine, paper)) << (mine - paper).abs().max();
  else
    EXPECT_LE((mine - paper).abs().max().item<double>(), last_bits * 2.3e-16);
}

TEST(Conventions, MvlStepsTowardsTheSquareRootOfTheDensity) {
  const double epsilon = 0.03;
  expect_same(ours(mvl_convention(epsilon), tempered(testing::quartic(), 0.5)),
              start() - epsilon / 2 * energy_gradient(start()) + std::sqrt(2 * epsilon) * omega());
}

TEST(Conventions, NcsnTakesTheWholeScore) {
  const double a = 0.02;
  expect_same(ours(ncsn_convention(a)), start() + a * -energy_gradient(start()) + std::sqrt(2 * a) * omega());
}

TEST(Conventions, MdsmHeatsTheNoise) {
  const double eta = 0.02, temperature = 37;
  expect_same(ours(mdsm_convention(eta, temperature)),
              start() - eta * eta / 2 * energy_gradient(start()) + std::sqrt(temperature) * eta * omega(), 4);
}

TEST(Conventions, VagesSetsTheNoiseApart) {
  const double alpha = 1e-2, sigma = 1e-4;
  expect_same(ours(vages_convention(alpha, sigma)), start() - alpha / 2 * energy_gradient(start()) + sigma * omega(),
              4);
}

TEST(Conventions, CebmTakesTheWholeGradient) {
  EXPECT_EQ(cebm_convention().step_size, 2);
  EXPECT_EQ(cebm_convention().noise_scale, 7.5e-3 / std::sqrt(2.0));
  expect_same(ours(cebm_convention()), start() - 1.0 * energy_gradient(start()) + 7.5e-3 * omega(), 8);
}

TEST(Conventions, IgebmAddsNoiseFirstAndClamps) {
  EXPECT_EQ(igebm_convention().step_size, 20);
  EXPECT_EQ(igebm_convention().noise_scale, 0.005 / std::sqrt(20.0));
  const Tensor noisy = start() + 0.005 * omega();
  const Tensor paper = (noisy - 10 * energy_gradient(noisy).clamp(-0.01, 0.01)).clamp(0, 1);
  expect_same(ours(igebm_convention()), paper, 4);
  EXPECT_GT((paper == 0).sum().item<int>(), 0);  // the clamps act on this start
  EXPECT_GT((energy_gradient(noisy) > 0.01).sum().item<int>(), 0);
}

}  // namespace
}  // namespace gibbsite
