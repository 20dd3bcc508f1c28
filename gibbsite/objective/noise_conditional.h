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
  double sigma_max = 1;
  double sigma_min = 0.01;
  NoiseConditionalOptions() { projection = "gaussian"; }
  void declare(OptionVisitor& o) {
    o.option("sigma_max", sigma_max, "first noise level; the levels of the network are geometric", positive());
    o.option("sigma_min", sigma_min, "last noise level", positive());
    SlicedScoreMatchingOptions::declare(o);
  }
};

/// Needs a ConditionalScore, which says how many levels there are.
std::unique_ptr<Objective> make_noise_conditional(const NoiseConditionalOptions& options, const ObjectiveParts& parts);

}  // namespace gibbsite
