// vaebm/25-gaussians: an auto-encoder of 25 Gaussians in the plane, and energies that correct it with negatives by weighted
// draws, by parallel tempering in noise space and by the paper's short Langevin chains (VAEBM, Section 5.4 and Figure 4; protocol
// sheet 9.7).
#pragma once

#include <gibbsite/recipe/reproduce.h>

namespace gibbsite {

/// --set method=NAME takes one method (the auto-encoder is trained for all); --set experiment.KEY=value changes how they are
/// judged; other assignments go to the recipe of the energies.
ExperimentOutcome reproduce_gaussian_grid(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
