#include <gibbsite/core/error.h>
#include <gibbsite/metric/classification.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

void check_scores(const char* where, const Tensor& scores) {
  if (scores.dim() != 2 || scores.size(0) == 0) throw WorkError(where, "needs class scores [N, C] with N > 0");
}

}  // namespace

Estimate accuracy(const Tensor& scores, const Tensor& labels) {
  check_scores("accuracy", scores);
  if (labels.dim() != 1 || labels.size(0) != scores.size(0)) throw WorkError("accuracy", "needs one label per point");
  const Tensor right = scores.detach().argmax(1).eq(labels.to(scores.device(), at::kLong));
  return share_estimate(right.sum().item<std::int64_t>(), scores.size(0));
}

DigitCriterion digit_criterion(const Tensor& probabilities, double threshold) {
  check_scores("digit_criterion", probabilities);
  const Tensor p = probabilities.detach().to(at::kCPU, at::kDouble);
  if (!((p.sum(1) - 1).abs().max().item<double>() < 1e-3) || p.min().item<double>() < 0) {
    throw WorkError("digit_criterion", "the rows are not probabilities");
  }
  const auto [largest, label] = p.max(1);
  const Tensor confident = label.masked_select(largest.ge(threshold));
  const Tensor counts = at::bincount(confident, {}, p.size(1));
  DigitCriterion result;
  result.confident = share_estimate(confident.numel(), p.size(0));
  result.classes = counts.gt(0).sum().item<std::int64_t>();
  for (std::int64_t c = 0; c < p.size(1); ++c) result.counts.push_back(counts[c].item<std::int64_t>());
  return result;
}

}  // namespace gibbsite
