// Raw loops behind activation.cpp, compiled for several instruction sets. Pointers are dense; n counts elements.
#pragma once

#include <cstdint>

namespace gibbsite::kernels {

/// out[i] = f^(k)(z[i]) * (g ? g[i] : 1), k = 0…3.
template <class Scalar>
void scaled_derivative(int kind, int k, const Scalar* g, const Scalar* z, Scalar* out, std::int64_t n);

/// Reverse of out = g f^(k)(z): dg = h f^(k)(z), dz = h g f^(k+1)(z); either output may be null. k = 0…2.
template <class Scalar>
void scaled_derivative_backward(int kind, int k, const Scalar* h, const Scalar* g, const Scalar* z, Scalar* dg,
                                Scalar* dz, std::int64_t n);

/// value[i] = f(z[i]), slope[i] = f'(z[i]); value may be z.
template <class Scalar>
void value_and_slope(int kind, const Scalar* z, Scalar* value, Scalar* slope, std::int64_t n);

/// out[i] = f'(z[i]) (c ? c[i] : 0) + f''(z[i]) t[i] b[i].
template <class Scalar>
void bend(int kind, const Scalar* c, const Scalar* z, const Scalar* t, const Scalar* b, Scalar* out, std::int64_t n);

/// Jet of order 1 or 2. Slices of n elements, `stride` apart: value, `directions` tangents, and the second-order term if
/// order is 2.
template <class Scalar>
void jet(int kind, int order, std::int64_t directions, const Scalar* z, Scalar* out, std::int64_t n,
         std::int64_t stride);

/// Reverse of `jet`: dz from g, same layout.
template <class Scalar>
void jet_backward(int kind, int order, std::int64_t directions, const Scalar* g, const Scalar* z, Scalar* dz,
                  std::int64_t n, std::int64_t stride);

}  // namespace gibbsite::kernels
