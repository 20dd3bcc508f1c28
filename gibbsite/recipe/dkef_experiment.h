// Table 1 of finite-difference score matching: deep kernel exponential families on Parkinsons, RedWine and WhiteWine.
#pragma once

#include <gibbsite/recipe/reproduce.h>

namespace gibbsite {

/// Trains, per data set, by sliced score matching through nested reverse passes (nested-ssm), its variance-reduced form
/// (ssm-vr), finite differences (fd-ssm; on Parkinsons at paper scale for ε = 0.1, 0.05, 0.02 and 0.01), jets (jet-ssm)
/// and the exact loss (exact-sm). `--set data=NAME` and `--set method=NAME` pick one, `--set evaluation.KEY=…`
/// changes how log Z is estimated, other keys go to the recipe.
///
/// Rows: nll (its log Z by importance sampling, or by annealing where the two differ by more than 0.1 nats; setting
/// log_z_by says which; once more with estimator = "importance", as the published figures are made), sm_loss, steps,
/// log_z and ess by estimator, and the rows of measure_steps, ratios against nested-ssm-stock: the model evaluated on
/// every pair of a data and an inducing point. `--set method=nested-ssm-stock` measures the steps alone.
ExperimentOutcome reproduce_dkef(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
