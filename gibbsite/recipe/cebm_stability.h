// cebm/stability: whether training by persistent chains blows up (protocol sheet of CEBM, 2.5), and what its settings change.
#pragma once

#include <gibbsite/recipe/reproduce.h>

namespace gibbsite {

/// Rows: failures and rollbacks over `trainings` at the recipe's rate and at three times it (`rate`); energy_gap,
/// mutual_information and accuracy from ten labels per class over `magnitude`, `steps` of the chains and `latent_size`.
ExperimentOutcome reproduce_cebm_stability(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
