// Variance-reduced sliced score matching of the codes of an encoder: the loss of ssm_vr in h at one code per example, drawn
// anew and frozen, for a score network of (v, h) or of h (protocol sheet 5.9).
#pragma once

#include <gibbsite/objective/score_matching.h>

namespace gibbsite {

struct LatentScoreMatchingOptions : SlicedScoreMatchingOptions {
  LatentScoreMatchingOptions() { projection = "gaussian"; }
  void declare(OptionVisitor& o) { SlicedScoreMatchingOptions::declare(o); }
};

/// Needs an encoder and a score network of codes, and trains the latter. `noise` is added to the codes.
std::unique_ptr<Objective> make_latent_score_matching(const LatentScoreMatchingOptions& options,
                                                      const ObjectiveParts& parts);

}  // namespace gibbsite
