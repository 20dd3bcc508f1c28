// Chains whose scores come from rounded matrix products, and whose acceptance does not.
#include <gibbsite/metric/quadrature.h>
#include <gibbsite/model/mlp_energy.h>
#include <gibbsite/nn/matrix_product.h>
#include <gibbsite/sampler/chain.h>
#include <gibbsite/sampler/hmc.h>
#include <gibbsite/sampler/mala.h>
#include <gtest/gtest.h>
#include <sampler/gaussians.h>
#include <torch/nn/module.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

TEST(Bfloat16Chains, HaveTheLawOfTheExactEnergy) {
  if (!has_bfloat16_products()) GTEST_SKIP() << "this processor has no bfloat16 products";
  MlpEnergyOptions options;
  options.hidden = {64, 64, 64};
  options.confinement = 0.25;
  options.precision = "bfloat16";
  ModelContext context;
  context.event = {2};
  context.init = Rng(3, "init");
  const auto energy = make_mlp_energy(options, context);
  for (Tensor& parameter : energy->module().parameters()) {
    parameter.requires_grad_(false);
    parameter.mul_(1.6);  // far from a Gaussian
  }
  ASSERT_TRUE(energy->rows());
  const Quadrature truth =
      quadrature([&](const Tensor& x) { return energy->energy(x); }, {{-3, -3}, {3, 3}}, torch::zeros({1, 2}));
  HmcOptions hmc;
  hmc.leapfrog_steps = 4;
  ChainOptions chain;
  chain.burn_in = 150;
  chain.adapt = true;
  chain.steps = 60;
  const std::pair<const char*, std::shared_ptr<const Kernel>> kernels[] = {
      {"mala", std::make_shared<Mala>(MalaOptions{0.5})}, {"hmc", std::make_shared<Hmc>(hmc)}};
  for (const auto& [name, kernel] : kernels) {
    const ChainResult result =
        run_chain(kernel, target_of(*energy), Rng(4, "start").normal({6000, 2}), Rng(5, name), chain);
    testing::expect_moments(result.last.x.to(torch::kDouble), truth.mean, truth.covariance, name);
  }
}

}  // namespace
}  // namespace gibbsite
