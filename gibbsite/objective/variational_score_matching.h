// Sliced score matching of a latent-variable energy, ½‖s‖² + E_u[uᵀ∇s u]: the norm by VaES and VaGES, the curvature by its own
// draws, both unbiased where the encoder is the posterior.
#pragma once

#include <gibbsite/objective/objective.h>
#include <gibbsite/objective/projection.h>

namespace gibbsite {

struct VariationalScoreMatchingOptions : ProjectionOptions {
  std::int64_t particles = 5;
  void declare(OptionVisitor& o) {
    o.option("particles", particles, "draws of the latent variables for the curvature", at_least(3));
    ProjectionOptions::declare(o);
  }
};

/// Needs a latent energy with jets in v, an encoder and a variational score. The reported loss has the squared norm of VaES,
/// which exceeds that of the score by its variance.
std::unique_ptr<Objective> make_variational_score_matching(const VariationalScoreMatchingOptions& options,
                                                           const ObjectiveParts& parts);

}  // namespace gibbsite
