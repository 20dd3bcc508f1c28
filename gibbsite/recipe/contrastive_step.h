// Contrastive divergence with one step, as an estimate of score matching's gradient.
#pragma once

#include <gibbsite/recipe/reproduce.h>

namespace gibbsite {

/// On the banana, the network of recipes/mvl/cd1.toml by exact-sm, and at ε = 1e-2, 1e-3, 1e-4 by cd-1, cd-1-cv and mvl-cv.
/// Rows: sm_loss, the exact loss on held-out points after training, with its standard error; gradient_variance, the trace of
/// the gradient's covariance over the noise at one network and batch. One figure: validation by MVL, what CD-1 reports, and
/// the exact loss, along the run of cd-1-cv at 1e-3.
ExperimentOutcome reproduce_contrastive_step(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
