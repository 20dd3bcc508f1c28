// The functions of a squared length that geodesics of constant curvature are made of.
#pragma once

#include <gibbsite/core/tensor.h>

namespace gibbsite {

/// cos √s for curvature +1, cosh √s for -1; smooth at s = 0.
Tensor curved_cos(const Tensor& s, int curvature);

/// sin √s / √s for curvature +1, sinh √s / √s for -1; smooth at s = 0.
Tensor curved_sinc(const Tensor& s, int curvature);

/// log(curved_sinc(s)), finite where sinh overflows.
Tensor log_curved_sinc(const Tensor& s, int curvature);

/// Nodes and weights of Gauss–Legendre quadrature on [low, high]: [n] float64 each.
struct GaussLegendre {
  Tensor nodes, weights;
};
GaussLegendre gauss_legendre(std::int64_t n, double low, double high);

}  // namespace gibbsite
