// How samples of several kinds spread over the kinds (modes) that there are.
#pragma once

#include <gibbsite/core/tensor.h>
#include <gibbsite/metric/estimate.h>

namespace gibbsite {

struct ModeCoverage {
  std::int64_t modes = 0;  ///< kinds with at least one sample
  /// KL of the shares from the reference, nats, kinds without a sample counting 0. Lies above that of the law behind the
  /// samples by about (kinds - 1) / (2 samples); the standard error is that of a mean of log ratios.
  Estimate divergence;
};

/// kind: [N] int64 in [0, M); reference: [M] shares that sum to one, positive where there are samples; undefined: uniform over
/// `kinds`. Throws WorkError for no samples or kinds outside.
ModeCoverage mode_coverage(const Tensor& kind, std::int64_t kinds, const Tensor& reference = {});

}  // namespace gibbsite
