// A spiral in the plane, without a closed density.
// The curve is (t cos t, t sin t) / 5 with t = 3 pi / 2 (1 + 2 u), u uniform on [0, 1]: radius 0.94 to 2.83.
#pragma once

#include <gibbsite/data/density.h>

namespace gibbsite {

struct SwissRollOptions {
  double noise = 0.1;
  void declare(OptionVisitor& o) { o.option("noise", noise, "standard deviation of Gaussian jitter", non_negative()); }
};

std::unique_ptr<Density> make_swiss_roll(const Config& options);

}  // namespace gibbsite
