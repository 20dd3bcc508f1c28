// Mean and covariance of samples against a reference, in units of standard errors.
#pragma once

#include <gibbsite/core/tensor.h>

namespace gibbsite {

struct MomentComparison {
  Tensor mean, reference_mean;  ///< [d] float64
  Tensor covariance,
      reference_covariance;      ///< [d, d] float64; `covariance` is about the reference mean where that is exact
  Tensor mean_z, covariance_z;   ///< difference over its standard error, like the above
  double worst_z = 0;            ///< largest |z| of all
  std::int64_t independent = 0;  ///< rows or chains behind the standard errors
};

/// samples: [N, d] independent rows, or [S, C, d] for S states of each of C independent chains (standard errors then come
/// from the C chain averages, so that correlation along a chain does no harm). Against known moments, mean [d] and
/// covariance [d, d].
MomentComparison compare_moments(const Tensor& samples, const Tensor& mean, const Tensor& covariance);

/// Against the rows of a second sample [M, d], whose own standard error is counted.
MomentComparison compare_moments_of_samples(const Tensor& samples, const Tensor& reference);

}  // namespace gibbsite
