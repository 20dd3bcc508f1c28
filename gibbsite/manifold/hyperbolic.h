// Hyperbolic space of curvature -1 as a sheet of the hyperboloid (Lorentz model).
//
// Coordinates grow as e^r with the distance r from the origin, and with them what a rounded coordinate moves a point by.
// exp(x, log(x, y)) returns y, relative to its largest coordinate, to 1e-12 in float64 while x lies within 4 of the origin
// and y within 4 of x, and to 1e-6 in float32 within 2; of two points on opposite sides, 8 apart, the rounded tangent
// vector alone leaves 3e-12.
#pragma once

#include <gibbsite/manifold/manifold.h>

namespace gibbsite {

struct HyperbolicOptions {
  std::int64_t dimension = 2;
  void declare(OptionVisitor& o) {
    o.option("dimension", dimension, "d: points have d + 1 coordinates, time first", at_least(1));
  }
};

std::shared_ptr<const Manifold> make_hyperbolic(const HyperbolicOptions& options);

}  // namespace gibbsite
