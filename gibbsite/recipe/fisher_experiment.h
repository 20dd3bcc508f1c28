// Figure 5 of VaGES: Fisher divergences by a critic that is told the score of the model by draws of an encoder.
#pragma once

#include <gibbsite/recipe/reproduce.h>

namespace gibbsite {

/// Data N(0, I_d), models Gaussian-Bernoulli machines with W, b, c ~ N(0, δ²) and σ = 1: for d = 200 and 500 and every δ a
/// critic by `fisher_critic`, with an encoder fitted beside it (vages-fisher) or with the exact score (exact-fisher). The
/// critic's length is chosen on the validation points, the estimate is that of the test points.
///
/// Rows fisher_divergence with `dimension`, `delta` and `truth`, the mean over the test points by exact scores; `scale` is what
/// the critic was multiplied by. The method affine-fisher is the best affine critic, by least squares on the score difference
/// itself. Keys `experiment.…` set sizes, steps and rates; `method=…` picks one of the two.
ExperimentOutcome reproduce_fisher(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
