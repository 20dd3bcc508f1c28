// Table 6 of finite-difference score matching: auto-encoders of MNIST whose codes have no density formula, the entropy of
// the codes by five estimates of their score.
#pragma once

#include <gibbsite/recipe/reproduce.h>

namespace gibbsite {

/// For every method trains from recipes/fd/implicit-vae (or -wae), or goes on where an interrupted call stopped, and
/// estimates the likelihood of test images by annealed importance sampling; then times the update of the score (codes,
/// loss, gradients, optimiser; the estimate itself where kernels make it), interleaved on one thread. Keys
/// `experiment.…` say how steps are timed, `evaluation.…` how likelihoods are estimated, `method=…` picks one; others go
/// to the recipe.
///
/// Rows: nll (nats, standard error over images) and ess (chains) with `images`, `chains` and `temperatures`;
/// seconds_per_step, multiply_adds and peak_bytes of the update of the score, time_ratio and memory_ratio with `against`.
ExperimentOutcome reproduce_implicit_vae(const ExperimentContext& context, const Ports& ports);
ExperimentOutcome reproduce_implicit_wae(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
