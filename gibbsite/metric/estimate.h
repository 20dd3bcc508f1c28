// A number and its standard error: every stochastic estimate shown to a person is one.
#pragma once

#include <gibbsite/core/tensor.h>

#include <cstdint>
#include <limits>

namespace gibbsite {

struct Estimate {
  double value = std::numeric_limits<double>::quiet_NaN();
  double standard_error = std::numeric_limits<double>::quiet_NaN();  ///< NaN where it is not known
  std::int64_t count = 0;                                            ///< independent terms behind the value
};

/// Mean of independent terms ([N] or any shape, flattened), accumulated in float64. One term: no standard error.
Estimate mean_estimate(const Tensor& terms);

/// Share of true elements among independent trials, with the Wilson half width at one standard error as its standard
/// error, so that 0 of N and N of N do not claim certainty.
Estimate share_estimate(std::int64_t successes, std::int64_t trials);

}  // namespace gibbsite
