// Norms over the pixels of a channel. Tensors and jets along one direction are read twice (slice_products.h): once for moments,
// which are float64, once for the result.
#pragma once

#include <gibbsite/nn/operations.h>

namespace gibbsite {

/// (x - mean) / sqrt(variance + kNormEpsilon) * weight + bias, per example and channel over [H, W]. weight, bias: [C], or undefined.
Tensor instance_norm(const Tensor& x, const Tensor& weight, const Tensor& bias);
Jet instance_norm(const Jet& x, const Tensor& weight, const Tensor& bias);
Stock instance_norm(const Stock& x, const Tensor& weight, const Tensor& bias);

/// γ (h + α m) + β: h is the instance norm of x; m the spatial means of the channels, normalised over the channels of the
/// example with the unbiased variance (CondInstanceNorm++ of noise-conditional score networks). γ, α, β: [B or 1, C, 1, 1],
/// constants; C >= 2.
Tensor conditional_instance_norm(const Tensor& x, const Tensor& gamma, const Tensor& alpha, const Tensor& beta);
Jet conditional_instance_norm(const Jet& x, const Tensor& gamma, const Tensor& alpha, const Tensor& beta);
Stock conditional_instance_norm(const Stock& x, const Tensor& gamma, const Tensor& alpha, const Tensor& beta);

}  // namespace gibbsite
