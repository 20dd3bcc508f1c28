// Maximum mean discrepancy with a Gaussian kernel (Gretton et al. 2012): the unbiased estimate of its square and a
// permutation test.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/core/random.h>
#include <gibbsite/metric/estimate.h>

namespace gibbsite {

struct MmdSettings {
  double bandwidth = 0;
  std::int64_t points = 1000;
  std::int64_t permutations = 500;
  void declare(OptionVisitor& o) {
    o.option("bandwidth", bandwidth, "s in exp(-||x - y||^2 / (2 s^2)); 0: median distance of the pooled points",
             non_negative());
    o.option("points", points, "points of each set that are used, drawn without replacement where there are more",
             at_least(2));
    o.option("permutations", permutations, "relabellings behind the p value", at_least(1));
  }
};

struct Mmd {
  Estimate squared;      ///< unbiased: may be negative
  double p_value = 1;    ///< (1 + relabellings at least as large) / (1 + permutations)
  double bandwidth = 0;  ///< as used
};

/// x: [N, *event], y: [M, *event], flattened. Throws WorkError with fewer than two rows on a side.
Mmd mmd(const Tensor& x, const Tensor& y, Rng rng, const MmdSettings& settings = {});

}  // namespace gibbsite
