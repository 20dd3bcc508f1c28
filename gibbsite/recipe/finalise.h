// What follows the training of a model with weights in closed form (fd_score_matching.md 5.2): a refit on every training
// row, then the ridge alone against the validation rows.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/model/closed_form_energy.h>
#include <gibbsite/objective/objective.h>

namespace gibbsite {

struct FinaliseOptions {
  std::int64_t steps = 1000;
  std::int64_t batch_size = 100;
  double learning_rate = 1e-3;
  double clip_norm = 1;
  void declare(OptionVisitor& o) {
    o.option("steps", steps, "Adam steps on the logarithm of the ridge alone, weights solved anew at each",
             non_negative());
    o.option("batch_size", batch_size, "validation rows per step", at_least(1));
    o.option("learning_rate", learning_rate, "of those steps", positive());
    o.option("clip_norm", clip_norm, "bound of the ridge's gradient; 0: none", non_negative());
  }
};

/// Leaves the energy with weights solved on all of `training` ([N, *event]) at the ridge that suits `validation`; without
/// validation rows, at the trained ridge. The objective must pose a closed-form problem. Nothing else changes.
void finalise(ClosedFormEnergy& energy, const Objective& objective, const Tensor& training, const Tensor& validation,
              const FinaliseOptions& options, const Rng& rng);

}  // namespace gibbsite
