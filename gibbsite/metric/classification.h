// What a trained classifier says about labelled points and about samples.
#pragma once

#include <gibbsite/core/tensor.h>
#include <gibbsite/metric/estimate.h>

#include <vector>

namespace gibbsite {

/// scores: [N, C] logits or probabilities; labels: [N] int64.
Estimate accuracy(const Tensor& scores, const Tensor& labels);

struct DigitCriterion {
  Estimate confident;                ///< share of samples whose largest class probability reaches the threshold
  std::int64_t classes = 0;          ///< classes that occur among the confident samples
  std::vector<std::int64_t> counts;  ///< confident samples per class
};

/// probabilities: [N, C], rows sum to one (throws WorkError otherwise, so that logits are not taken for probabilities).
DigitCriterion digit_criterion(const Tensor& probabilities, double threshold = 0.9);

}  // namespace gibbsite
