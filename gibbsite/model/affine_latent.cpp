#include <gibbsite/model/affine_latent.h>
#include <torch/types.h>

namespace gibbsite {

Tensor sample_covariance(const Tensor& h, const Tensor& t) {
  const Tensor away = h - h.mean(0);
  return (away * (away * t).sum(-1, true)).sum(0) / static_cast<double>(h.size(0) - 1);
}

Tensor weighted_covariance(const Tensor& h, const Tensor& weight, const Tensor& mean, const Tensor& t) {
  const Tensor away = h - mean;
  return (away * (weight * (away * t).sum(-1)).unsqueeze(-1)).sum(0);
}

}  // namespace gibbsite
