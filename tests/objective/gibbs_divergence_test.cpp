#include <gibbsite/core/error.h>
#include <gtest/gtest.h>

#include "objective/objective_helpers.h"
#include "posterior/latent_models.h"

namespace gibbsite {
namespace {

std::unique_ptr<Objective> divergence(Grbm& machine, std::int64_t steps, bool persistent) {
  ObjectiveParts parts;
  parts.energy = &machine;
  const Config options = Config::table({{"steps", Config(steps)}, {"persistent", Config(persistent)}});
  return find_entry(objective_table(), "objective", "cd", "").make(options, parts);
}

Tensor gradient(const Objective& objective, Grbm& machine, const Tensor& x, std::uint64_t step) {
  Batch batch;
  batch.x = x;
  Rng rng = Rng(9, "objective").at_step(step);
  return flat(gradients(objective(batch, rng).backward, machine.module()));
}

// Long chains and kept ones give the gradient of -log likelihood, whose normaliser is enumerated.
TEST(GibbsDivergence, GradientIsThatOfTheLikelihood) {
  auto machine = test_grbm();
  const Tensor few = Rng(7, "x").normal({6, 3}, at::kDouble), x = few.repeat({100, 1});
  const Tensor truth = flat(gradients(machine->energy(few).mean() + machine->log_z(), machine->module()));
  const auto check = [&](const std::vector<Tensor>& draws, const char* what) {
    EXPECT_LT(worst_deviation(draws, truth), 4) << what;
    EXPECT_GT((truth.norm() / at::stack(draws).std(0).norm() * std::sqrt(double(draws.size()))).item<double>(), 20);
  };
  const auto long_chains = divergence(*machine, 40, false);
  std::vector<Tensor> by_long, by_kept;
  for (std::uint64_t draw = 0; draw < 60; ++draw) by_long.push_back(gradient(*long_chains, *machine, x, draw));
  check(by_long, "long");
  for (std::uint64_t draw = 0; draw < 60; ++draw) {
    const auto kept = divergence(*machine, 1, true);
    for (std::uint64_t update = 0; update < 40; ++update) gradient(*kept, *machine, x, 1000 * draw + update);
    by_kept.push_back(gradient(*kept, *machine, x, 1000 * draw + 999));
  }
  check(by_kept, "kept");
}

// One sweep from the machine's own law leaves it there, so that nothing is left to learn.
TEST(GibbsDivergence, OneSweepHasNoSlopeOnTheMachinesOwnLaw) {
  auto machine = test_grbm();
  Rng rng(3, "chains");
  Tensor v = rng.normal({600, 3}, at::kDouble);
  const auto once = divergence(*machine, 1, false);
  std::vector<Tensor> draws;
  for (std::uint64_t draw = 0; draw < 60; ++draw) {
    for (int sweep = 0; sweep < 40; ++sweep) v = machine->sample_visible(machine->sample_latent(v, rng), rng);
    draws.push_back(gradient(*once, *machine, v, draw));
  }
  EXPECT_LT(worst_deviation(draws, torch::zeros_like(draws[0])), 4);
}

// Objectives of energies see the machine as its marginal: their slope is 0 on its own law too, and not on another one.
TEST(Grbm, ObjectivesOfEnergiesHaveNoSlopeOnItsOwnLaw) {
  auto machine = test_grbm();
  Rng rng(3, "chains");
  Tensor v = rng.normal({600, 3}, at::kDouble);
  struct Case {
    const char* name;
    Config options;
    std::vector<Tensor> draws, elsewhere;
  };
  std::vector<Case> cases = {{"ssm", Config::table(), {}, {}},
                             {"ssm_vr", Config::table(), {}, {}},
                             {"exact_score_matching", Config::table(), {}, {}},
                             {"nce", Config::table({{"sigma", Config(2.0)}, {"ratio", Config(2)}}), {}, {}}};
  for (std::uint64_t draw = 0; draw < 60; ++draw) {
    for (int sweep = 0; sweep < 40; ++sweep) v = machine->sample_visible(machine->sample_latent(v, rng), rng);
    for (Case& c : cases) {
      const auto objective = make_objective(c.name, *machine, c.options);
      c.draws.push_back(gradient(*objective, *machine, v, draw));
      c.elsewhere.push_back(gradient(*objective, *machine, v + 0.3, draw));
    }
  }
  for (const Case& c : cases) {
    EXPECT_LT(worst_deviation(c.draws, torch::zeros_like(c.draws[0])), 4.5) << c.name;
    EXPECT_GT(worst_deviation(c.elsewhere, torch::zeros_like(c.draws[0])), 10) << c.name;
  }
}

TEST(GibbsDivergence, StateRestoresTheSameNegatives) {
  auto machine = test_grbm();
  const Tensor x = Rng(7, "x").normal({6, 3}, at::kDouble);
  const auto kept = divergence(*machine, 2, true), again = divergence(*machine, 2, true);
  EXPECT_TRUE(kept->state().empty());
  gradient(*kept, *machine, x, 0);
  again->restore(kept->state());
  const Tensor next = gradient(*kept, *machine, x, 1);
  EXPECT_TRUE(torch::equal(gradient(*again, *machine, x, 1), next));
  EXPECT_FALSE(torch::equal(gradient(*divergence(*machine, 2, true), *machine, x, 1), next));
}

TEST(GibbsDivergence, RefusesOtherEnergies) {
  auto energy = make_energy("mlp", {3}, Config::table());
  EXPECT_THROW(make_objective("cd", *energy, Config::table()), RequestError);
}

}  // namespace
}  // namespace gibbsite
