// Latent-variable energies affine in h, -joint(v, h) = offset(v) + h·β(v) with β(v) = latent_logits(v). Score and parameter
// gradient have formulas then, which need of the law of h given v no more than its mean m and covariance C (both frozen; with
// a row z for every v, t_j = z·∇_v β_j):
//
//   E[∇_v log p̃]                                            = ∇_v (offset + m·β)
//   E[zᵀ ∂∇_v log p̃/∂θ] + zᵀ Cov(∇_v log p̃, ∂ log p̃/∂θ)    = ∂/∂θ (z·∇_v (offset + m·β)) + (C t)·∂β/∂θ
//
// (VaGES, Eqs. 7 to 10). With sample moments this is VaES and VaGES, with those of p(h | v) the exact score of the marginal.
#pragma once

#include <gibbsite/model/latent_energy.h>

namespace gibbsite {

/// An Energy that is one of these too is its marginal. All but pullback are differentiable in what they are made from.
class AffineLatentModel : public LatentModel {
 public:
  /// [B, *event] -> [B].
  virtual Tensor offset(const Tensor& v) const = 0;
  /// β(v): [B, *event] -> [B, K]. For h in {0, 1}^K, logit p(h_j = 1 | v).
  virtual Tensor latent_logits(const Tensor& v) const = 0;
  /// m of p(h | v), [B, K], and its C t from that, [B, K] -> [B, K].
  virtual Tensor posterior_mean(const Tensor& v) const = 0;
  virtual Tensor posterior_covariance(const Tensor& mean, const Tensor& t) const = 0;
  /// ∇_v log p̃(v, h), h [B, K] -> like v.
  virtual Tensor conditional_score(const Tensor& v, const Tensor& h) const = 0;
  /// t: z like v -> [B, K].
  virtual Tensor coupled(const Tensor& v, const Tensor& z) const = 0;
  /// Σ z·conditional_score(v, h), 0-dim, with the parameter gradient of that plus Σ u·β(v); h, u [B, K]; all else is frozen.
  virtual Tensor pullback(const Tensor& v, const Tensor& z, const Tensor& h, const Tensor& u) const = 0;
};

/// C t, [B, K], with the unbiased covariance of draws h [L, B, K].
Tensor sample_covariance(const Tensor& h, const Tensor& t);
/// C t, [B, K], of the states h [L, B, K] with probabilities `weight` [L, B] and mean `mean`.
Tensor weighted_covariance(const Tensor& h, const Tensor& weight, const Tensor& mean, const Tensor& t);

}  // namespace gibbsite
