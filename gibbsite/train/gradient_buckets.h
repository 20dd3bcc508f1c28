// Gradients that ranks share (Li et al., PyTorch Distributed, VLDB 2020). Parameters are gathered in buckets, the last ones, whose
// gradients are ready first, in the first bucket; the sum of a bucket over the ranks begins as soon as the backward pass has
// made all its gradients, and goes on beside it.
#pragma once

#include <gibbsite/core/ranks.h>
#include <gibbsite/core/tensor.h>

#include <memory>
#include <vector>

namespace gibbsite {

class GradientBuckets {
 public:
  /// Of parameters that want gradients now. `ranks` must outlive it.
  GradientBuckets(Ranks& ranks, const std::vector<Tensor>& parameters);
  ~GradientBuckets();
  GradientBuckets(const GradientBuckets&) = delete;
  GradientBuckets& operator=(const GradientBuckets&) = delete;

  /// Means over the ranks of the gradients of `loss` and of `numbers` ([n] float64, in place). A parameter on which the loss
  /// depends on no rank has an undefined gradient. Throws RankLost.
  std::vector<Tensor> backward(const Tensor& loss, Tensor& numbers);

 private:
  struct State;
  std::unique_ptr<State> s_;
};

}  // namespace gibbsite
