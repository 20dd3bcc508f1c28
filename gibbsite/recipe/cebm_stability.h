// cebm/stability: whether training by persistent chains blows up (protocol sheet of CEBM, 2.5), and what its settings change.
#pragma once

#include <gibbsite/recipe/reproduce.h>

namespace gibbsite {

/// Rows: failures and rollbacks over `trainings` at the rate of the plan and at three times it (`rate`), and of each `training`,
/// so that a call that was stopped goes on with the next; energy_gap,
/// mutual_information and accuracy from ten labels per class over `magnitude`, `steps` of the chains and `latent_size`.
ExperimentOutcome reproduce_cebm_stability(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
