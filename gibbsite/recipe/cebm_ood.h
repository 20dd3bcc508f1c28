// cebm/ood: conjugate energies and their baselines as detectors of other images (Wu et al. 2021, Table 1; protocol sheet, 6.1).
#pragma once

#include <gibbsite/recipe/reproduce.h>

namespace gibbsite {

/// Rows: auroc over the other sets (`out`) by log_density and gradient_norm. Where the published sign or column is in doubt the
/// number beside it is the corrected one and the row's `published_as` says how it was printed. With experiment.rows = "last"
/// the last images of every set, for the choice of settings (auroc_of_last); throws RequestError where the first are among them.
ExperimentOutcome reproduce_cebm_ood(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
