// Samples of VAEBM's energies beside those of the auto-encoder that they correct (sections 5.1 and appendices D and I).
#pragma once

#include <gibbsite/recipe/reproduce.h>

namespace gibbsite {

/// Rows: frechet_classifier of the auto-encoder, of energies with and without a replay buffer, and of test images (data);
/// per energy auroc of training against test images by log p - E (1/2 expected), the difference of their means in deviations
/// (mean_difference), and distance_ratio, how far samples are from the nearest training image over how far test images are, by
/// pixels and by the classifier's features (`space`). Pictures: samples, the same chains before and after, every second state
/// of some, neighbours; a plot of the two histograms.
ExperimentOutcome reproduce_vaebm_images(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
