#include <gibbsite/core/error.h>
#include <gibbsite/model/dkef.h>
#include <gibbsite/objective/denoising.h>
#include <gibbsite/objective/score_matching.h>
#include <gibbsite/recipe/finalise.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

struct Problem {
  std::unique_ptr<Energy> owner;
  ClosedFormEnergy* energy;
  std::unique_ptr<Objective> objective;
  Tensor training = Rng(1, "training").normal({60, 2}, at::kDouble);
  Tensor validation = Rng(2, "validation").normal({40, 2}, at::kDouble);

  Problem() {
    ModelContext context;
    context.event = {2};
    context.init = Rng(3, "init");
    context.dtype = at::kDouble;
    DkefOptions options;
    options.inducing = 12;
    options.hidden = {5};
    options.features = 3;
    options.log_ridge = -6;
    owner = make_dkef(options, context);
    energy = dynamic_cast<ClosedFormEnergy*>(owner.get());
    ObjectiveParts parts;
    parts.energy = owner.get();
    objective = make_exact_score_matching({}, parts);
  }

  // Exact loss on the validation rows with the weights that the training rows give at a ridge.
  double loss(double log_ridge) {
    {
      const torch::NoGradGuard no_grad;
      energy->log_ridge().fill_(log_ridge);
    }
    owner->module().eval();
    Rng rng(4, "fit");
    energy->refit(training, *objective->fit_problem(), rng);
    Batch batch;
    batch.x = validation;
    return (*objective)(batch, rng).backward.item<double>();
  }
};

TEST(Finalise, MovesTheRidgeAloneTowardsTheBestForTheValidationRows) {
  Problem problem;
  std::vector<Tensor> before;
  for (const Tensor& parameter : problem.owner->module().parameters()) before.push_back(parameter.detach().clone());
  FinaliseOptions options;
  options.steps = 400;
  options.learning_rate = 0.02;
  options.batch_size = 40;
  finalise(*problem.energy, *problem.objective, problem.training, problem.validation, options, Rng(5, "finalise"));
  const double found = problem.energy->log_ridge().item<double>();
  const Tensor weights = problem.energy->weights().clone();

  std::size_t changed = 0, i = 0;
  for (const Tensor& parameter : problem.owner->module().parameters()) {
    EXPECT_TRUE(parameter.requires_grad());
    if (!torch::equal(parameter.detach(), before[i++])) ++changed;
  }
  EXPECT_EQ(changed, 1u);
  EXPECT_TRUE(problem.owner->module().is_training());

  // Weights are those of all training rows at the ridge found, and no grid point is much better.
  const double reached = problem.loss(found);
  EXPECT_TRUE(torch::allclose(problem.energy->weights(), weights, 1e-7, 1e-7));
  double best = reached;
  for (double ridge = -8; ridge <= 3; ridge += 0.25) best = std::min(best, problem.loss(ridge));
  EXPECT_LT(reached, problem.loss(-6) - 1e-3);
  EXPECT_LT(reached - best, 0.02 * std::abs(best));
}

TEST(Finalise, NeedsAnObjectiveWithAClosedForm) {
  Problem problem;
  ObjectiveParts parts;
  parts.energy = problem.owner.get();
  const auto other = make_multiscale_denoising({}, parts);
  EXPECT_THROW(finalise(*problem.energy, *other, problem.training, problem.validation, {}, Rng(5, "finalise")),
               RequestError);
}

}  // namespace
}  // namespace gibbsite
