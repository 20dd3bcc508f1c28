// The main job: a 2-D energy trained by sliced score matching on the jittered checkerboard, whose law is exact.
#pragma once

#include <gibbsite/recipe/reproduce.h>

namespace gibbsite {

/// Four summary lines: held-out log-likelihood beside its bound, exact score-matching loss beside its floor, sampler
/// moments against quadrature, acceptance.
ExperimentOutcome reproduce_smoke_ssm(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
