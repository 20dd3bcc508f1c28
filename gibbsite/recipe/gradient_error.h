// How far finite differences take the training gradient of sliced score matching from the exact one.
#pragma once

#include <gibbsite/recipe/reproduce.h>

namespace gibbsite {

/// For an MLP, residual energies with ELU and with normalised softplus, and a deep kernel exponential family, before and
/// after training by jets: the gradient of the sliced score-matching loss in the parameters by finite differences over ε in
/// float32 and float64, and by jets in float32, against jets in float64 at the same points and directions.
///
/// Rows, with `model`, `stage` ("initial" or "trained"), `dtype` and for finite differences `epsilon`: cosine and
/// relative_error, means over batches. docs/derivatives.md reads them.
ExperimentOutcome reproduce_gradient_error(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
