// An auto-encoder and its product with an energy as detectors of other images (VAEBM, Table 6).
#pragma once

#include <gibbsite/recipe/reproduce.h>

namespace gibbsite {

/// Rows: auroc by log p of the auto-encoder (vae) and by log p - E (vaebm, vaebm-square), with `out` and `score` =
/// "log_density", of the first test images against those of other sets, means of two unrelated test images (interpolations),
/// constants, and the training set (`out` = "train", 1/2 expected). p is the importance-weighted bound with as many codes for
/// every set. With experiment.rows = "last" the last images of every set, for the choice of settings (auroc_of_last); throws
/// RequestError where the first are among them.
ExperimentOutcome reproduce_vaebm_ood(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
