#include <gibbsite/metric/estimate.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {

Estimate mean_estimate(const Tensor& terms) {
  const Tensor values = terms.detach().to(at::kCPU, at::kDouble).flatten();
  Estimate result;
  result.count = values.numel();
  if (result.count == 0) return result;
  result.value = values.mean().item<double>();
  if (result.count > 1) {
    result.standard_error = values.std(/*unbiased=*/true).item<double>() / std::sqrt(static_cast<double>(result.count));
  }
  return result;
}

Estimate share_estimate(std::int64_t successes, std::int64_t trials) {
  Estimate result;
  result.count = trials;
  if (trials == 0) return result;
  const double n = static_cast<double>(trials);
  const double share = static_cast<double>(successes) / n;
  result.value = share;
  result.standard_error = std::sqrt(share * (1 - share) / n + 1 / (4 * n * n)) / (1 + 1 / n);
  return result;
}

}  // namespace gibbsite
