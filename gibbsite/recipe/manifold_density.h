// Energies on manifolds by minimum velocity learning, from fresh samples of laws with exact densities.
#pragma once

#include <gibbsite/recipe/reproduce.h>

namespace gibbsite {

/// Trains recipes/mvl/<name>.toml by the exact limit (method "jet-limit") and by the difference with control variate
/// ("mvl-cv"); `--set method=NAME` takes one. Rows per method: total_variation from the true density and sm_loss under it, by
/// cubature with the normaliser, sm_loss beside its least value `truth`; log_z.
ExperimentOutcome reproduce_circle(const ExperimentContext& context, const Ports& ports);
ExperimentOutcome reproduce_sphere(const ExperimentContext& context, const Ports& ports);
ExperimentOutcome reproduce_torus(const ExperimentContext& context, const Ports& ports);
ExperimentOutcome reproduce_hyperbolic(const ExperimentContext& context, const Ports& ports);
ExperimentOutcome reproduce_rotations(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
