// cebm/few-label: what representations are worth when few labels are known (Wu et al. 2021, Table 2; protocol sheet, 6.2).
#pragma once

#include <gibbsite/recipe/reproduce.h>

namespace gibbsite {

/// Rows: accuracy over labels per class (1, 10, 100, all), of features as they are and standardised, at a tenth, three tenths
/// and all of the training; cpu_seconds of it; pixels as a reference. With experiment.rows = "validation" they are
/// validation_accuracy, and models are trained without those rows, in runs of their own.
ExperimentOutcome reproduce_few_label(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
