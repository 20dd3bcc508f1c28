// A ring in the plane: p(x) proportional to exp(-(|x| - radius)^2 / (2 sigma^2)), exactly normalised.
#pragma once

#include <gibbsite/data/density.h>

namespace gibbsite {

struct RingOptions {
  double radius = 1;
  double sigma = 0.1;
  double noise = 0;
  void declare(OptionVisitor& o) {
    o.option("radius", radius, "radius of the ridge", positive());
    o.option("sigma", sigma, "standard deviation of the radial profile", positive());
    o.option("noise", noise, "standard deviation of Gaussian jitter; above 0 the density is not closed",
             non_negative());
  }
};

std::unique_ptr<Density> make_ring(const Config& options);

}  // namespace gibbsite
