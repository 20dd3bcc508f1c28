// What the parts of VAEBM are worth (Table 4 and appendices B.1 and C).
#pragma once

#include <gibbsite/recipe/reproduce.h>

namespace gibbsite {

/// Rows: frechet_classifier of the auto-encoder (vae), an energy of x alone (ebm), the same with chains from the auto-encoder
/// (ebm-from-vae), its decoder trained against a critic (wgan), the product (vaebm), the product whose decoder follows (vaebm-kl),
/// and, with `step_size`, Langevin chains of the product in the space of (x, z) in place of the noise (vaebm-xz), as long as those
/// of vaebm and from the same draws of the auto-encoder.
ExperimentOutcome reproduce_vaebm_ablation(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
