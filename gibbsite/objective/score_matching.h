// Score matching of energies and score networks. Per example, with s = -grad E the score and tr a trace in x:
//
//   exact_score_matching   ½‖s‖² + tr ∇s                                        (Hyvärinen)
//   ssm                    ½(v·s)² + vᵀ∇s v                                     (sliced score matching)
//   ssm_vr                 ½‖s‖² + vᵀ∇s v                                       (its variance-reduced form)
//
// all summed over dimensions and averaged over the batch; ∇s = -∇²E for an energy. `weight` names the papers' scalings.
// derivative = "finite_difference" gives finite-difference score matching: Eq. 9 for energies, section 4 (FD-SSM-VR) for
// score networks, each with weight = "per_dimension".
#pragma once

#include <gibbsite/calculus/derivatives.h>
#include <gibbsite/core/options.h>
#include <gibbsite/objective/objective.h>
#include <gibbsite/objective/projection.h>

namespace gibbsite {

struct ExactScoreMatchingOptions {
  std::string derivative = "jet";
  std::int64_t chunk = 64;
  void declare(OptionVisitor& o) {
    o.option("derivative", derivative, "how the Laplacian is taken", {"jet", "autograd"});
    o.only_if(derivative == "jet").option("chunk", chunk, "coordinates carried in one jet pass", at_least(1));
  }
};
/// Needs an energy.
std::unique_ptr<Objective> make_exact_score_matching(const ExactScoreMatchingOptions& options,
                                                     const ObjectiveParts& parts);

struct SlicedScoreMatchingOptions : ProjectionOptions, StepOptions {
  std::string derivative = "jet";
  double noise = 0;
  std::string weight = "one";
  /// `adds_noise`: whether the objective adds that noise, or has its own.
  void declare(OptionVisitor& o, bool adds_noise = true) {
    o.option("derivative", derivative, "how directional derivatives are taken", derivative_method_names());
    ProjectionOptions::declare(o);
    if (adds_noise) o.option("noise", noise, "standard deviation of Gaussian noise added to the batch", non_negative());
    o.option("weight", weight, "one, or per_dimension: 1/d as the finite-difference paper prints it",
             {"one", "per_dimension"});
    StepOptions::declare(o, derivative == "finite_difference");
  }
};
/// Each needs an energy or a score network, which comes first where there are both. Finite differences of a score network
/// evaluate it at x ± ε v/‖v‖ only, with the same random numbers at both points if batched is false.
std::unique_ptr<Objective> make_sliced_score_matching(const SlicedScoreMatchingOptions& options,
                                                      const ObjectiveParts& parts);
std::unique_ptr<Objective> make_sliced_score_matching_vr(const SlicedScoreMatchingOptions& options,
                                                         const ObjectiveParts& parts);

/// The sliced loss of a score on the points x ([B, *event], options.noise is not added), with row b weighted by weight[b]
/// ([B], undefined for ones): what objectives at several noise levels are made of.
Loss sliced_score_loss(const SlicedScoreMatchingOptions& options, bool variance_reduced, const Score& score,
                       const Tensor& x, const Tensor& weight, double progress, Rng& rng);

}  // namespace gibbsite
