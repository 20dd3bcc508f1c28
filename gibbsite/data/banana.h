// x1 ~ N(0, deviation^2), x2 given x1 ~ N(bend (x1^2 - deviation^2), 1) (MVL's bias and variance experiment).
#pragma once

#include <gibbsite/data/density.h>

namespace gibbsite {

struct BananaOptions {
  double bend = 0.2;
  double deviation = 2;
  double noise = 0;
  void declare(OptionVisitor& o) {
    o.option("bend", bend, "curvature of the ridge", anything());
    o.option("deviation", deviation, "standard deviation of x1", positive());
    o.option("noise", noise, "standard deviation of Gaussian jitter; above 0 the density is not closed",
             non_negative());
  }
};

std::unique_ptr<Density> make_banana(const Config& options);

}  // namespace gibbsite
