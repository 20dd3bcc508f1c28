#include <gibbsite/core/error.h>
#include <gibbsite/model/energy.h>
#include <gibbsite/objective/objective.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>

#include "posterior/latent_models.h"

namespace gibbsite {
namespace {

std::unique_ptr<Energy> make_energy(const std::string& name, const Config& options) {
  ModelContext context;
  context.event = {2};
  context.dtype = at::kDouble;
  return find_entry(energy_table(), "model", name, "").make(options, context);
}

std::unique_ptr<Objective> make_mle(Energy& energy) {
  ObjectiveParts parts;
  parts.energy = &energy;
  return find_entry(objective_table(), "objective", "mle", "").make(Config::table(), parts);
}

// With couplings that add nothing the model is N(0, exp(-2s)) per coordinate: the derivative of -mean log p in s is
// mean(x²) exp(2s) - 1, zero where the deviation of the model is that of the data and positive where it is smaller.
TEST(MaximumLikelihood, OptimumAndSignOnAGaussian) {
  auto energy = make_energy("nice", Config::table({{"hidden", Config::array({Config(3)})}}));
  auto parameters = energy->module().named_parameters();
  Tensor log_scale = parameters["log_scale"];
  {
    const at::NoGradGuard no_grad;
    for (auto& parameter : parameters) parameter.value().zero_();
  }
  const Tensor x = 2.5 * Rng(1, "x").normal({400, 2}, at::kDouble);
  const Tensor variance = x.square().mean(0);
  const auto mle = make_mle(*energy);
  for (const double offset : {-0.3, 0.0, 0.4}) {
    {
      const at::NoGradGuard no_grad;
      log_scale.copy_(-0.5 * variance.log() + offset);
    }
    Batch batch;
    batch.x = x;
    Rng rng(2, "objective");
    const Loss loss = (*mle)(batch, rng);
    const Tensor gradient = torch::autograd::grad({loss.backward}, {log_scale})[0];
    EXPECT_LE((gradient - (std::exp(2 * offset) - 1)).abs().max().item<double>(), 1e-12);
    const double entropy_like = std::log(2 * std::acos(-1.0)) + std::exp(2 * offset);
    EXPECT_NEAR(loss.log[0].second.item<double>(),
                entropy_like + 0.5 * variance.log().sum().item<double>() - 2 * offset, 1e-12);
  }
}

// The normaliser of a machine of two coordinates by the trapezium rule on a wide grid, whose error is below rounding for such
// densities; the gradient against differences of that value.
TEST(MaximumLikelihood, OfAMachineIsThatOfItsNormalisedDensity) {
  auto grbm = test_grbm(2, 3);
  const double half = 30, step = 0.1;
  const auto n = static_cast<std::int64_t>(2 * half / step) + 1;
  const Tensor line = torch::linspace(-half, half, n, at::kDouble);
  const Tensor grid = at::stack({line.repeat_interleave(n), line.repeat({n})}, 1);
  const Tensor x = Rng(1, "x").normal({50, 2}, at::kDouble);
  const auto value = [&] {
    const at::NoGradGuard no_grad;
    const double log_z = (-grbm->energy(grid)).logsumexp(0).item<double>() + 2 * std::log(step);
    return grbm->energy(x).mean().item<double>() + log_z;
  };
  Batch batch;
  batch.x = x;
  Rng rng(2, "objective");
  const Loss loss = (*make_mle(*grbm))(batch, rng);
  EXPECT_NEAR(loss.log[0].second.item<double>(), value(), 1e-9);
  for (Tensor& parameter : grbm->module().parameters()) {
    const Tensor gradient = torch::autograd::grad({loss.backward}, {parameter}, {}, true)[0];
    Tensor first = parameter.data().flatten().narrow(0, 0, 1);
    const double centre = first.item<double>(), shift = 1e-5;
    first.fill_(centre + shift);
    const double above = value();
    first.fill_(centre - shift);
    const double below = value();
    first.fill_(centre);
    EXPECT_NEAR(gradient.flatten()[0].item<double>(), (above - below) / (2 * shift), 1e-6);
  }
}

TEST(MaximumLikelihood, RefusesUnnormalisedEnergies) {
  auto energy = make_energy("quadratic", Config::table());
  EXPECT_THROW(make_mle(*energy), RequestError);
}

}  // namespace
}  // namespace gibbsite
