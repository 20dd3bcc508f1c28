// Score matching at every noise level at once (Song and Ermon 2019, Eq. 6; protocol sheet 5.8): a level i drawn uniformly
// for each example, x̃ = x + σ_i n, and σ_i² times the variance-reduced sliced loss of s(·, i) at x̃,
//
//   σ_i² (½‖s(x̃, i)‖² + vᵀ∇s(x̃, i) v),     E[v vᵀ] = I
//
// by jets, reverse passes or finite differences, whose step is the same at all levels.
#pragma once

#include <gibbsite/objective/score_matching.h>

namespace gibbsite {

struct NoiseConditionalOptions : SlicedScoreMatchingOptions {
  NoiseConditionalOptions() { projection = "gaussian"; }
  /// The levels of the network are all the noise there is.
  void declare(OptionVisitor& o) { SlicedScoreMatchingOptions::declare(o, false); }
};

/// Needs a ConditionalScore, which says what the levels are.
std::unique_ptr<Objective> make_noise_conditional(const NoiseConditionalOptions& options, const ObjectiveParts& parts);

}  // namespace gibbsite
