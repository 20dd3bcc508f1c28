// Bias and variance of minimum velocity learning and of denoising score matching over the size of their step.
#pragma once

#include <gibbsite/recipe/reproduce.h>

namespace gibbsite {

/// On the banana with its exact energy (methods mvl, mvl-cv, dsm, dsm-cv, jet-limit, ssm-vr, exact-sm; all in the paper's
/// scale, twice Hyvärinen's, float64) and with an energy trained by recipes/mvl/bias-variance.toml (mvl-cv-trained,
/// dsm-cv-trained). Rows, per `epsilon` where there is one: mean beside the limit `truth`, variance per sample; for the
/// trained energy bias_squared, an upper bound from a second, unbiased estimate, with its `floor`, and z at ε = 6e-5.
ExperimentOutcome reproduce_bias_variance(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
