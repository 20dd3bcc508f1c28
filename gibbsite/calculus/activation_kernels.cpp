#include <gibbsite/calculus/activation.h>
#include <gibbsite/calculus/activation_kernels.h>
#include <gibbsite/core/clones.h>

#include <cmath>
#include <cstring>

namespace gibbsite::kernels {
namespace {

// exp(x) for x <= 0. Clamped on one side only: a two-sided clamp makes the compiler branch.
GIBBSITE_INLINE float exp_negative(float x) {
  x = x < -87.0f ? -87.0f : x;
  const float shifted = x * 1.44269504088896341f + 12582912.0f;
  std::uint32_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  const float n = shifted - 12582912.0f;
  const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const std::uint32_t scale_bits = (bits << 23) + (127u << 23);
  float scale;
  std::memcpy(&scale, &scale_bits, sizeof scale);
  return p * scale;
}

GIBBSITE_INLINE double exp_negative(double x) {
  x = x < -700.0 ? -700.0 : x;
  const double shifted = x * 1.4426950408889634074 + 6755399441055744.0;
  std::uint64_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  const double n = shifted - 6755399441055744.0;
  const double r = (x - n * 6.93145751953125e-1) - n * 1.42860682030941723212e-6;
  double p = 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600;
  p = p * r + 1.0 / 39916800;
  p = p * r + 1.0 / 3628800;
  p = p * r + 1.0 / 362880;
  p = p * r + 1.0 / 40320;
  p = p * r + 1.0 / 5040;
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  const std::uint64_t scale_bits = (bits << 52) + (std::uint64_t{1023} << 52);
  double scale;
  std::memcpy(&scale, &scale_bits, sizeof scale);
  return p * scale;
}

// log(1 + e) for e in [0, 1], as 2 atanh(e / (2 + e)).
template <class Scalar>
GIBBSITE_INLINE Scalar log1p_unit(Scalar e) {
  const Scalar t = e / (Scalar(2) + e);
  const Scalar z = t * t;
  Scalar p;
  if constexpr (sizeof(Scalar) == sizeof(float)) {
    p = Scalar(1) / 15;
    p = p * z + Scalar(1) / 13;
  } else {
    p = Scalar(1) / 35;
    p = p * z + Scalar(1) / 33;
    p = p * z + Scalar(1) / 31;
    p = p * z + Scalar(1) / 29;
    p = p * z + Scalar(1) / 27;
    p = p * z + Scalar(1) / 25;
    p = p * z + Scalar(1) / 23;
    p = p * z + Scalar(1) / 21;
    p = p * z + Scalar(1) / 19;
    p = p * z + Scalar(1) / 17;
    p = p * z + Scalar(1) / 15;
    p = p * z + Scalar(1) / 13;
  }
  p = p * z + Scalar(1) / 11;
  p = p * z + Scalar(1) / 9;
  p = p * z + Scalar(1) / 7;
  p = p * z + Scalar(1) / 5;
  p = p * z + Scalar(1) / 3;
  p = p * z + Scalar(1);
  return Scalar(2) * t * p;
}

template <class Scalar>
struct Derivatives {
  Scalar f, d1, d2, d3;
};

template <class Scalar>
GIBBSITE_INLINE Scalar sigmoid_from(Scalar z, Scalar e) {  // e = exp(-|z|)
  const Scalar q = Scalar(1) / (Scalar(1) + e);
  return z >= 0 ? q : e * q;
}

struct Silu {
  template <class Scalar>
  static GIBBSITE_INLINE Derivatives<Scalar> at(Scalar z) {
    const Scalar s = sigmoid_from(z, exp_negative(-std::abs(z)));
    const Scalar w = s * (Scalar(1) - s), m = Scalar(1) - Scalar(2) * s;
    return {z * s, s + z * w, w * (Scalar(2) + z * m), w * (Scalar(3) * m + z * (m * m - Scalar(2) * w))};
  }
};

template <int kNormalised>
struct Softplus {
  template <class Scalar>
  static GIBBSITE_INLINE Derivatives<Scalar> at(Scalar z) {
    const Scalar e = exp_negative(-std::abs(z));
    const Scalar s = sigmoid_from(z, e);
    const Scalar w = s * (Scalar(1) - s), m = Scalar(1) - Scalar(2) * s;
    const Scalar value = (z > 0 ? z : Scalar(0)) + log1p_unit(e);
    return {kNormalised != 0 ? value - Scalar(0.693147180559945309417) : value, s, w, w * m};
  }
};

struct Tanh {
  template <class Scalar>
  static GIBBSITE_INLINE Derivatives<Scalar> at(Scalar z) {
    // tanh z = 2 sigmoid(2z) - 1, near 0 by its series so that small values keep their digits.
    const Scalar e = exp_negative(Scalar(-2) * std::abs(z));
    const Scalar large = (Scalar(1) - e) / (Scalar(1) + e);
    const Scalar a = std::abs(z), q = a * a;
    Scalar p = Scalar(-929569) / Scalar(638512875);
    p = p * q + Scalar(21844) / Scalar(6081075);
    p = p * q + Scalar(-1382) / Scalar(155925);
    p = p * q + Scalar(62) / Scalar(2835);
    p = p * q + Scalar(-17) / Scalar(315);
    p = p * q + Scalar(2) / Scalar(15);
    p = p * q + Scalar(-1) / Scalar(3);
    const Scalar small = a + a * q * p;
    const Scalar magnitude = a < Scalar(0.1) ? small : large;
    const Scalar t = z < 0 ? -magnitude : magnitude;
    const Scalar d1 = Scalar(4) * e / ((Scalar(1) + e) * (Scalar(1) + e));
    return {t, d1, Scalar(-2) * t * d1, Scalar(-2) * d1 * (d1 - Scalar(2) * t * t)};
  }
};

struct Sigmoid {
  template <class Scalar>
  static GIBBSITE_INLINE Derivatives<Scalar> at(Scalar z) {
    const Scalar e = exp_negative(-std::abs(z));
    const Scalar q = Scalar(1) / (Scalar(1) + e);
    const Scalar s = z >= 0 ? q : e * q;
    const Scalar w = e * q * q, m = z >= 0 ? (e - Scalar(1)) * q : (Scalar(1) - e) * q;
    return {s, w, w * m, w * (Scalar(1) - Scalar(6) * w)};
  }
};

struct Elu {
  template <class Scalar>
  static GIBBSITE_INLINE Derivatives<Scalar> at(Scalar z) {
    const Scalar e = exp_negative(z > 0 ? Scalar(0) : z);
    // exp(z) - 1 by its series near 0.
    const Scalar q = z > 0 ? Scalar(0) : z;
    Scalar p = Scalar(1) / 39916800;
    p = p * q + Scalar(1) / 3628800;
    p = p * q + Scalar(1) / 362880;
    p = p * q + Scalar(1) / 40320;
    p = p * q + Scalar(1) / 5040;
    p = p * q + Scalar(1) / 720;
    p = p * q + Scalar(1) / 120;
    p = p * q + Scalar(1) / 24;
    p = p * q + Scalar(1) / 6;
    p = p * q + Scalar(0.5);
    const Scalar small = q + q * q * p;
    const Scalar negative = q > Scalar(-0.25) ? small : e - Scalar(1);
    const bool positive = z > 0;
    return {positive ? z : negative, positive ? Scalar(1) : e, positive ? Scalar(0) : e, positive ? Scalar(0) : e};
  }
};

template <int kLeaky>
struct Relu {
  template <class Scalar>
  static GIBBSITE_INLINE Derivatives<Scalar> at(Scalar z) {
    const Scalar slope = kLeaky != 0 ? Scalar(0.2) : Scalar(0);
    return {z > 0 ? z : slope * z, z > 0 ? Scalar(1) : slope, Scalar(0), Scalar(0)};
  }
};

template <int K, class Scalar>
GIBBSITE_INLINE Scalar pick(Derivatives<Scalar> d) {
  if constexpr (K == 0) return d.f;
  if constexpr (K == 1) return d.d1;
  if constexpr (K == 2) return d.d2;
  return d.d3;
}

// Each loop is an always-inlined template; the cloned entry points below instantiate it once per instruction set.
template <class F, int K, class Scalar>
GIBBSITE_INLINE void scaled_loop(const Scalar* __restrict g, const Scalar* __restrict z, Scalar* __restrict out,
                                 std::int64_t n) {
  if (g) {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) out[i] = g[i] * pick<K>(F::at(z[i]));
  } else {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) out[i] = pick<K>(F::at(z[i]));
  }
}

template <class F, int K, class Scalar>
GIBBSITE_INLINE void scaled_backward_loop(const Scalar* __restrict h, const Scalar* __restrict g,
                                          const Scalar* __restrict z, Scalar* __restrict dg, Scalar* __restrict dz,
                                          std::int64_t n) {
  if (dg && dz) {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) {
      const Derivatives<Scalar> d = F::at(z[i]);
      // Fields are read by name: copies of the struct keep the loop from being vectorised.
      const Scalar low = K == 0 ? d.f : K == 1 ? d.d1 : d.d2;
      const Scalar high = K == 0 ? d.d1 : K == 1 ? d.d2 : d.d3;
      dg[i] = h[i] * low;
      dz[i] = h[i] * g[i] * high;
    }
  } else if (dz) {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) dz[i] = h[i] * g[i] * pick<K + 1>(F::at(z[i]));
  } else if (dg) {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) dg[i] = h[i] * pick<K>(F::at(z[i]));
  }
}

// No __restrict on z and value, which may be the same; the pragma promises that iterations are independent.
template <class F, class Scalar>
GIBBSITE_INLINE void value_and_slope_loop(const Scalar* z, Scalar* value, Scalar* __restrict slope, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) {
    const Derivatives<Scalar> d = F::at(z[i]);
    value[i] = d.f;
    slope[i] = d.d1;
  }
}

template <class F, class Scalar>
GIBBSITE_INLINE void bend_loop(const Scalar* __restrict c, const Scalar* __restrict z, const Scalar* __restrict t,
                               const Scalar* __restrict b, Scalar* __restrict out, std::int64_t n) {
  if (c) {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) {
      const Derivatives<Scalar> d = F::at(z[i]);
      out[i] = d.d1 * c[i] + d.d2 * t[i] * b[i];
    }
  } else {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) out[i] = F::at(z[i]).d2 * t[i] * b[i];
  }
}

template <class F, class Scalar>
GIBBSITE_INLINE void jet_loop(int order, std::int64_t directions, const Scalar* __restrict z, Scalar* __restrict out,
                              std::int64_t n, std::int64_t stride) {
  const Scalar* __restrict z1 = z + stride;
  Scalar* __restrict out1 = out + stride;
  if (order == 1) {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) {
      const Derivatives<Scalar> d = F::at(z[i]);
      out[i] = d.f;
      out1[i] = d.d1 * z1[i];
    }
    return;
  }
  const Scalar* __restrict z2 = z + (1 + directions) * stride;
  Scalar* __restrict out2 = out + (1 + directions) * stride;
  if (directions == 1) {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) {
      const Derivatives<Scalar> d = F::at(z[i]);
      out[i] = d.f;
      out1[i] = d.d1 * z1[i];
      out2[i] = d.d1 * z2[i] + Scalar(0.5) * d.d2 * z1[i] * z1[i];
    }
    return;
  }
  constexpr std::int64_t kBlock = 256;
  Scalar d1[kBlock], half_d2[kBlock], squares[kBlock];
  for (std::int64_t begin = 0; begin < n; begin += kBlock) {
    const std::int64_t count = n - begin < kBlock ? n - begin : kBlock;
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i) {
      const Derivatives<Scalar> d = F::at(z[begin + i]);
      out[begin + i] = d.f;
      d1[i] = d.d1;
      half_d2[i] = Scalar(0.5) * d.d2;
      squares[i] = 0;
    }
    for (std::int64_t j = 0; j < directions; ++j) {
      const Scalar* __restrict tangent = z1 + j * stride + begin;
      Scalar* __restrict tangent_out = out1 + j * stride + begin;
#pragma omp simd
      for (std::int64_t i = 0; i < count; ++i) {
        tangent_out[i] = d1[i] * tangent[i];
        squares[i] += tangent[i] * tangent[i];
      }
    }
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i) out2[begin + i] = d1[i] * z2[begin + i] + half_d2[i] * squares[i];
  }
}

template <class F, class Scalar>
GIBBSITE_INLINE void jet_backward_loop(int order, std::int64_t directions, const Scalar* __restrict g,
                                       const Scalar* __restrict z, Scalar* __restrict dz, std::int64_t n,
                                       std::int64_t stride) {
  const Scalar* __restrict z1 = z + stride, * __restrict g1 = g + stride;
  Scalar* __restrict dz1 = dz + stride;
  if (order == 1) {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) {
      const Derivatives<Scalar> d = F::at(z[i]);
      dz[i] = d.d1 * g[i] + d.d2 * z1[i] * g1[i];
      dz1[i] = d.d1 * g1[i];
    }
    return;
  }
  const std::int64_t last = (1 + directions) * stride;
  const Scalar* __restrict z2 = z + last, * __restrict g2 = g + last;
  Scalar* __restrict dz2 = dz + last;
  if (directions == 1) {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) {
      const Derivatives<Scalar> d = F::at(z[i]);
      const Scalar t = z1[i], a = g1[i], b = g2[i];
      dz[i] = d.d1 * g[i] + d.d2 * (t * a + z2[i] * b) + Scalar(0.5) * d.d3 * t * t * b;
      dz1[i] = d.d1 * a + d.d2 * t * b;
      dz2[i] = d.d1 * b;
    }
    return;
  }
  constexpr std::int64_t kBlock = 256;
  Scalar d1[kBlock], d2[kBlock], cross[kBlock], squares[kBlock];
  for (std::int64_t begin = 0; begin < n; begin += kBlock) {
    const std::int64_t count = n - begin < kBlock ? n - begin : kBlock;
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i) {
      const Derivatives<Scalar> d = F::at(z[begin + i]);
      d1[i] = d.d1;
      d2[i] = d.d2;
      cross[i] = z2[begin + i] * g2[begin + i];
      squares[i] = 0;
      dz2[begin + i] = d.d1 * g2[begin + i];
    }
    for (std::int64_t j = 0; j < directions; ++j) {
      const Scalar* __restrict t = z1 + j * stride + begin, * __restrict a = g1 + j * stride + begin;
      Scalar* __restrict dt = dz1 + j * stride + begin;
#pragma omp simd
      for (std::int64_t i = 0; i < count; ++i) {
        dt[i] = d1[i] * a[i] + d2[i] * t[i] * g2[begin + i];
        cross[i] += t[i] * a[i];
        squares[i] += t[i] * t[i];
      }
    }
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i)
      dz[begin + i] =
          d1[i] * g[begin + i] + d2[i] * cross[i] + Scalar(0.5) * F::at(z[begin + i]).d3 * squares[i] * g2[begin + i];
  }
}

template <class F>
struct Entries {
  template <class Scalar>
  GIBBSITE_CLONES static void scaled(int k, const Scalar* g, const Scalar* z, Scalar* out, std::int64_t n) {
    if (k == 0) scaled_loop<F, 0>(g, z, out, n);
    if (k == 1) scaled_loop<F, 1>(g, z, out, n);
    if (k == 2) scaled_loop<F, 2>(g, z, out, n);
    if (k == 3) scaled_loop<F, 3>(g, z, out, n);
  }
  template <class Scalar>
  GIBBSITE_CLONES static void scaled_backward(int k, const Scalar* h, const Scalar* g, const Scalar* z, Scalar* dg,
                                              Scalar* dz, std::int64_t n) {
    if (k == 0) scaled_backward_loop<F, 0>(h, g, z, dg, dz, n);
    if (k == 1) scaled_backward_loop<F, 1>(h, g, z, dg, dz, n);
    if (k == 2) scaled_backward_loop<F, 2>(h, g, z, dg, dz, n);
  }
  template <class Scalar>
  GIBBSITE_CLONES static void value_and_slope(const Scalar* z, Scalar* value, Scalar* slope, std::int64_t n) {
    value_and_slope_loop<F>(z, value, slope, n);
  }
  template <class Scalar>
  GIBBSITE_CLONES static void bend(const Scalar* c, const Scalar* z, const Scalar* t, const Scalar* b, Scalar* out,
                                   std::int64_t n) {
    bend_loop<F>(c, z, t, b, out, n);
  }
  template <class Scalar>
  GIBBSITE_CLONES static void jet(int order, std::int64_t directions, const Scalar* z, Scalar* out, std::int64_t n,
                                  std::int64_t stride) {
    jet_loop<F>(order, directions, z, out, n, stride);
  }
  template <class Scalar>
  GIBBSITE_CLONES static void jet_backward(int order, std::int64_t directions, const Scalar* g, const Scalar* z,
                                           Scalar* dz, std::int64_t n, std::int64_t stride) {
    jet_backward_loop<F>(order, directions, g, z, dz, n, stride);
  }
};

template <class Call>
void dispatch(int kind, Call call) {
  switch (static_cast<Activation>(kind)) {
    case Activation::kSilu: call(Entries<Silu>()); break;
    case Activation::kSoftplus: call(Entries<Softplus<0>>()); break;
    case Activation::kNormalisedSoftplus: call(Entries<Softplus<1>>()); break;
    case Activation::kTanh: call(Entries<Tanh>()); break;
    case Activation::kSigmoid: call(Entries<Sigmoid>()); break;
    case Activation::kElu: call(Entries<Elu>()); break;
    case Activation::kRelu: call(Entries<Relu<0>>()); break;
    case Activation::kLeakyRelu: call(Entries<Relu<1>>()); break;
    case Activation::kIdentity: break;
  }
}

}  // namespace

template <class Scalar>
void scaled_derivative(int kind, int k, const Scalar* g, const Scalar* z, Scalar* out, std::int64_t n) {
  dispatch(kind, [&](auto entries) { entries.scaled(k, g, z, out, n); });
}
template <class Scalar>
void scaled_derivative_backward(int kind, int k, const Scalar* h, const Scalar* g, const Scalar* z, Scalar* dg,
                                Scalar* dz, std::int64_t n) {
  dispatch(kind, [&](auto entries) { entries.scaled_backward(k, h, g, z, dg, dz, n); });
}
template <class Scalar>
void value_and_slope(int kind, const Scalar* z, Scalar* value, Scalar* slope, std::int64_t n) {
  dispatch(kind, [&](auto entries) { entries.value_and_slope(z, value, slope, n); });
}
template <class Scalar>
void bend(int kind, const Scalar* c, const Scalar* z, const Scalar* t, const Scalar* b, Scalar* out, std::int64_t n) {
  dispatch(kind, [&](auto entries) { entries.bend(c, z, t, b, out, n); });
}
template <class Scalar>
void jet(int kind, int order, std::int64_t directions, const Scalar* z, Scalar* out, std::int64_t n,
         std::int64_t stride) {
  dispatch(kind, [&](auto entries) { entries.jet(order, directions, z, out, n, stride); });
}
template <class Scalar>
void jet_backward(int kind, int order, std::int64_t directions, const Scalar* g, const Scalar* z, Scalar* dz,
                  std::int64_t n, std::int64_t stride) {
  dispatch(kind, [&](auto entries) { entries.jet_backward(order, directions, g, z, dz, n, stride); });
}

#define GIBBSITE_INSTANTIATE(Scalar)                                                                                \
  template void scaled_derivative(int, int, const Scalar*, const Scalar*, Scalar*, std::int64_t);                   \
  template void scaled_derivative_backward(int, int, const Scalar*, const Scalar*, const Scalar*, Scalar*, Scalar*, \
                                           std::int64_t);                                                           \
  template void value_and_slope(int, const Scalar*, Scalar*, Scalar*, std::int64_t);                                \
  template void bend(int, const Scalar*, const Scalar*, const Scalar*, const Scalar*, Scalar*, std::int64_t);       \
  template void jet(int, int, std::int64_t, const Scalar*, Scalar*, std::int64_t, std::int64_t);                    \
  template void jet_backward(int, int, std::int64_t, const Scalar*, const Scalar*, Scalar*, std::int64_t, std::int64_t);
GIBBSITE_INSTANTIATE(float)
GIBBSITE_INSTANTIATE(double)

}  // namespace gibbsite::kernels
