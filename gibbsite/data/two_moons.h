// Two interleaved half circles, without a closed density.
// The upper moon is (cos t, sin t), the lower (1 - cos t, 1/2 - sin t), t uniform on [0, pi], each with probability 1/2.
#pragma once

#include <gibbsite/data/density.h>

namespace gibbsite {

struct TwoMoonsOptions {
  double noise = 0.1;
  void declare(OptionVisitor& o) { o.option("noise", noise, "standard deviation of Gaussian jitter", non_negative()); }
};

std::unique_ptr<Density> make_two_moons(const Config& options);

}  // namespace gibbsite
