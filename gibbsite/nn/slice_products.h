// What norms over the pixels of a channel are made of, for all slices of a jet at once: linear combinations of slices and the
// inner products between them. Each is the derivative of the other, so both can be differentiated to any order.
//
// Images [J B, C, H, W] are J slices of B images.
#pragma once

#include <gibbsite/core/tensor.h>

namespace gibbsite {

/// Slice i of the result is Σ_j weight[i, j] x_j + weight[i, J], channel by channel. x: [J B, C, H, W], weight: float64
/// [I, J + 1, B, C] -> [I B, C, H, W].
Tensor combine_slices(const Tensor& x, const Tensor& weight);

/// [i, j] of the result is Σ a_i b_j over the pixels of a channel, [i, J] is Σ a_i; sums are in double precision, in which
/// products of float32 numbers are exact. a: [I B, C, H, W], b: [J B, C, H, W] of `batch` = B images -> float64 [I, J + 1, B, C]. Throws WorkError without images.
Tensor slice_products(const Tensor& a, const Tensor& b, std::int64_t batch);

}  // namespace gibbsite
