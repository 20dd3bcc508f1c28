// Jets: truncated Taylor series of a tensor along one or several directions.
//
// A Jet of order T along a direction v is the list of Taylor coefficients c_0 … c_T of t -> f(x + t v). They are stacked
// coefficient-major on the batch, [(1 + T) B, *event], so that a linear or convolution layer is one library call for all.
//
// With D > 1 directions (order 2 only) the stack holds the value, the D first-order tangents and one second-order term
// summed over directions, [(2 + D) B, *event]: one pass then gives a Laplacian. D = 1 is the ordinary order-2 jet.
//
// Every function here is differentiable to any order through autograd.
#pragma once

#include <gibbsite/core/tensor.h>

namespace gibbsite {

struct Jet {
  Tensor c;                     ///< [slices() * B, ...], slice-major
  std::int64_t order = 0;       ///< T >= 0; of order 0 it is a tensor
  std::int64_t directions = 1;  ///< D

  std::int64_t slices() const { return order + directions; }
  std::int64_t batch() const { return c.size(0) / slices(); }
  /// Slice s of the stack, a view [B, ...]: Taylor coefficient s when D = 1.
  Tensor slice(std::int64_t s) const { return c.narrow(0, s * batch(), batch()); }
  /// The slices as their own dimension, a view [slices(), B, ...].
  Tensor stacked() const;
  /// The k-th derivative along the direction, k! times coefficient k; for D > 1, k = 2 it is summed over directions.
  Tensor derivative(std::int64_t k) const;
  /// A jet of the same kind with another stack.
  Jet with(Tensor stack) const { return {std::move(stack), order, directions}; }
};

/// The jet of x + t v of order T: coefficients x, v, 0, …, 0. x, v: [B, *event].
Jet seed_jet(const Tensor& x, const Tensor& v, std::int64_t order);

/// Order-2 jet of x along D directions at once; v: [D, B, *event].
Jet seed_laplacian(const Tensor& x, const Tensor& v);

/// A constant: x in slice 0, zeros elsewhere; of the kind of `like`.
Jet constant_jet(const Tensor& x, const Jet& like);

// Linear maps act on every slice alike.
Jet operator+(const Jet& a, const Jet& b);
Jet operator-(const Jet& a, const Jet& b);
Jet operator-(const Jet& a);
Jet operator*(const Jet& a, double factor);
/// Adds a constant that broadcasts against one slice.
Jet operator+(const Jet& a, const Tensor& constant);
Jet operator+(const Jet& a, double constant);
/// Multiplies by a constant that broadcasts against one slice.
Jet operator*(const Jet& a, const Tensor& constant);
/// Sum and mean over dimensions of a slice, negative or counted from the batch dimension 0 (which is not allowed).
Jet sum(const Jet& a, at::IntArrayRef dimensions, bool keep = false);
Jet mean(const Jet& a, at::IntArrayRef dimensions, bool keep = false);

// Products and elementwise functions, by the recurrences of power series.
Jet operator*(const Jet& a, const Jet& b);
Jet square(const Jet& a);
Jet reciprocal(const Jet& a);
Jet exp(const Jet& a);
Jet log(const Jet& a);
Jet sqrt(const Jet& a);
Jet sin(const Jet& a);
Jet cos(const Jet& a);
Jet sigmoid(const Jet& a);
Jet tanh(const Jet& a);
Jet softplus(const Jet& a);
Jet silu(const Jet& a);
/// Exact away from 0; at 0 the second derivative is taken from the left.
Jet elu(const Jet& a);
/// log Σ exp over one dimension of a slice (not the batch), stabilised by the largest value.
Jet logsumexp(const Jet& a, std::int64_t dimension, bool keep = false);

}  // namespace gibbsite
