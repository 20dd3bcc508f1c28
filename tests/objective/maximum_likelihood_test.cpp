#include <gibbsite/core/error.h>
#include <gibbsite/model/energy.h>
#include <gibbsite/objective/objective.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>

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

TEST(MaximumLikelihood, RefusesUnnormalisedEnergies) {
  auto energy = make_energy("quadratic", Config::table());
  EXPECT_THROW(make_mle(*energy), RequestError);
}

}  // namespace
}  // namespace gibbsite
