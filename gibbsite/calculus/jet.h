// Jets: truncated Taylor series of a tensor along one or several directions.
//
// A Jet of order T along a direction v is the list of coefficients c_0 … c_T of t -> f(x + t v). They are stacked
// coefficient-major on the batch, [(1 + T) B, *event], so that a linear or convolution layer is one library call for all.
//
// With `directions` D > 1 (order 2 only) the stack holds the value, the D first-order tangents and one second-order term
// summed over directions, [(2 + D) B, *event]: one pass then gives a Laplacian. D = 1 is the ordinary order-2 jet.
#pragma once

#include <gibbsite/core/tensor.h>

namespace gibbsite {

struct Jet {
  Tensor c;                     ///< [slices() * B, ...], slice-major
  std::int64_t order = 0;       ///< T >= 1
  std::int64_t directions = 1;  ///< D

  std::int64_t slices() const { return order + directions; }
  std::int64_t batch() const { return c.size(0) / slices(); }
  /// Slice s of the stack, a view [B, ...]: coefficient s when D = 1.
  Tensor slice(std::int64_t s) const { return c.narrow(0, s * batch(), batch()); }
  /// The k-th derivative along the direction: k! times coefficient k (summed over directions for k = 2 and D > 1).
  Tensor derivative(std::int64_t k) const;
};

/// The jet of x + t v of order T: coefficients x, v, 0, …, 0. x, v: [B, *event].
Jet seed_jet(const Tensor& x, const Tensor& v, std::int64_t order);

/// Order-2 jet of x along D directions at once; v: [D, B, *event].
Jet seed_laplacian(const Tensor& x, const Tensor& v);

}  // namespace gibbsite
