// cebm/representation: samples, neighbours and maps of the spaces of features (Wu et al. 2021, Figures 2, 3 and 5; protocol sheet,
// section 5).
#pragma once

#include <gibbsite/recipe/reproduce.h>

namespace gibbsite {

/// Rows: same_class_share of nearest training images (`neighbours` 1 and 5) in every space and of pixels, frechet_classifier of
/// samples. Files per model: confusion.npz, confusion.png, neighbours.png, map.png, samples.png; map-tsne.png where
/// python3-sklearn is there.
ExperimentOutcome reproduce_representation(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
