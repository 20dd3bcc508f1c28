// Objectives that compare an energy at x with the energy at x + ε v/‖v‖ and need nothing else of it. With Δ the drop
// E(x) - E(x + ε v/‖v‖), each is the mean of g(Δ) ‖v‖²/ε² with g(Δ) = 2Δ + Δ²/2 + O(Δ³):
//
//   quadratic    2Δ + Δ²/2               one-sided differences                        (paper: Eq. 54)
//   exponential  4 (exp(Δ/2) - 1)        minimum probability flow to a small sphere   (Sohl-Dickstein et al. 2011)
//   logistic     4 (softplus(Δ) - log 2) noise-contrastive estimation against p(x + v)
//
// Paper: finite-difference score matching, appendix B.7. Averaged over v and -v each tends to sliced score matching,
// ½(v·s)² + vᵀ∇s v, with an error O(ε²). With one sign, only the expectation over v does: the term 2 v·s ‖v‖/ε of a single
// draw has mean zero and grows as 1/ε.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/objective/objective.h>
#include <gibbsite/objective/projection.h>

namespace gibbsite {

enum class DropFunction { kQuadratic, kExponential, kLogistic };

struct OneSidedOptions : ProjectionOptions, StepOptions {
  bool symmetric = true;
  std::string weight = "one";
  /// `counts`: whether the objective is of this kind at all.
  void declare(OptionVisitor& o, bool counts = true) {
    ProjectionOptions::declare(o, counts);
    StepOptions::declare(o, counts);
    o.only_if(counts).option("symmetric", symmetric, "average over v and -v, which removes a term that grows as 1/ε");
    o.only_if(counts).option("weight", weight, "one, or per_dimension: 1/d as the finite-difference paper prints it",
                             {"one", "per_dimension"});
  }
};

/// Needs an energy; `objective` names it in messages.
std::unique_ptr<Objective> make_one_sided(const OneSidedOptions& options, DropFunction function,
                                          const ObjectiveParts& parts, const char* objective);

struct MinimumProbabilityFlowOptions : OneSidedOptions {
  std::string form = "exponential";
  void declare(OptionVisitor& o) {
    o.option("form", form, "exponential: minimum probability flow; quadratic: its expansion, one-sided differences",
             {"exponential", "quadratic"});
    OneSidedOptions::declare(o);
  }
};
std::unique_ptr<Objective> make_minimum_probability_flow(const MinimumProbabilityFlowOptions& options,
                                                         const ObjectiveParts& parts);

}  // namespace gibbsite
