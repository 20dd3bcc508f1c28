// Density 2 on [0, 1/2]^2 and [1/2, 1]^2 (VaGES), or that convolved with N(0, noise^2 I): a sum of two products of error
// functions, exact and accurate far in the tails.
#pragma once

#include <gibbsite/data/density.h>

namespace gibbsite {

struct CheckerboardOptions {
  double noise = 0;
  void declare(OptionVisitor& o) {
    o.option("noise", noise, "standard deviation of Gaussian jitter; 0 leaves a density with jumps", non_negative());
  }
};

std::unique_ptr<Density> make_checkerboard(const Config& options);

}  // namespace gibbsite
