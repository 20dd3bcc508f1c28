// How long samples take by short chains in noise space and by annealed Langevin dynamics of a score network, and what longer
// chains do to them (VAEBM, section 5.5).
#pragma once

#include <gibbsite/recipe/reproduce.h>

namespace gibbsite {

/// Rows: of 50 samples by the product of an auto-encoder and an energy (vaebm) and by a noise-conditional score network of a size
/// to match (ncsn), timed in turns on one thread: seconds, multiply_adds, peak_bytes, time_ratio and multiply_adds_ratio with
/// `against`; multiply_adds_per_evaluation of an image; frechet_classifier of as many samples of both; and frechet_classifier of
/// vaebm with `sampler` and `steps`, chains of once to ten times the length of those in training by Langevin, MALA and HMC, the
/// step sizes of which are adapted to their acceptance.
ExperimentOutcome reproduce_sampling_speed(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
