// Figure 2 and appendix G.2.1 of VaGES: a Gaussian-Bernoulli machine of two visible and four latent variables trained on the
// checkerboard by variational estimates and by everything they are compared to.
#pragma once

#include <gibbsite/recipe/reproduce.h>

namespace gibbsite {

/// Each method is a recipe of recipes/vages with a few keys set. Training stops at some numbers of iterations for the exact
/// log-likelihood of the test points: 16 states of the latent variables sum to the normaliser.
///
/// Rows log_likelihood (standard error over the test points) with `iterations` and, where a method draws latent variables,
/// `particles`. Keys `experiment.iterations=[…]` and `method=…` of the command line say where and which; other keys go to
/// the recipes.
ExperimentOutcome reproduce_ksd_checkerboard(const ExperimentContext& context, const Ports& ports);
ExperimentOutcome reproduce_checkerboard(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
