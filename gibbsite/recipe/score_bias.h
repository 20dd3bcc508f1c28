// Figure 1 of VaGES: how far the score estimates of latent-variable energies are off when the encoder is.
#pragma once

#include <gibbsite/recipe/reproduce.h>

namespace gibbsite {

/// A Gaussian-Bernoulli machine and the Gaussian latent model, each with factorised encoders q of growing distance from the
/// posterior p: Monte-Carlo means of VaES and of VaGES (every entry of ∂s/∂θ) at fixed vectors v, against the exact score and
/// its gradient. The square of a bias is estimated without bias from products of independent groups of draws; standard errors
/// are those of the draws, by jackknife over the groups.
///
/// Rows of method `vaes` or `vages` on data set `grbm` or `gaussian-latent`: bias_squared, the mean over v of the squared
/// norm, with `delta` (how far q was moved), `divergence` (mean over v of the KL or Fisher divergence) and `truth` by closed
/// forms; slope and r2 of the fit through the origin of the root of bias_squared against the root of the divergence, with
/// `against` the divergence's name. Keys `experiment.…` set sizes and counts.
ExperimentOutcome reproduce_score_bias(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
