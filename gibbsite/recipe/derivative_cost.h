// Figure 2 of finite-difference score matching: what a directional derivative of order T costs and how exact it is.
#pragma once

#include <gibbsite/recipe/reproduce.h>

namespace gibbsite {

/// Trains a small energy of MNIST, then for T = 1…8 (smoke: 4) measures jets, nested reverse passes through LibTorch's own
/// operations, and finite differences one after another or in one batch: time and peak live bytes in float32, counted
/// multiply-adds, relative error against nested reverse passes in float64.
///
/// Rows: seconds_per_step, peak_bytes, multiply_adds (the method "forward" is one forward pass), relative_error with dtype and
/// epsilon, and time_ratio of order T against order T - 1 of the same method.
ExperimentOutcome reproduce_derivative_cost(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
