// Kernels of pairs of points, with the derivatives that Stein discrepancies need.
#pragma once

#include <gibbsite/core/tensor.h>

namespace gibbsite {

/// Row b belongs to the pair (x_b, y_b). ∇_y k is minus ∇_x k.
struct KernelPairs {
  Tensor value;     ///< k(x, y), [B]
  Tensor gradient;  ///< ∇_x k, [B, *event]
  Tensor trace;     ///< tr ∇_x ∇_y k, [B]
};

/// k(x, y) = exp(-‖x - y‖²/(2 width²)).
KernelPairs gaussian_kernel_pairs(const Tensor& x, const Tensor& y, double width);

/// ‖x_i - y_j‖² of rows, [..., N, d] and [..., M, d] -> [..., N, M], differentiable in both. Rows are taken from their mean first,
/// so that far from the origin no more digits are lost than near it.
Tensor squared_distances(const Tensor& x, const Tensor& y);

}  // namespace gibbsite
