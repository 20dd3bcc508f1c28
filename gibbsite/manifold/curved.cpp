#include <gibbsite/manifold/curved.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

constexpr double kSmall = 0.01;  // below, six terms of the series are exact to rounding

// Σ_k (-curvature s)^k / (2k + odd)!
Tensor series(const Tensor& s, int curvature, int odd) {
  Tensor sum = torch::ones_like(s);
  for (int k = 5; k >= 1; --k) sum = 1 - curvature * s * sum / ((2 * k - 1 + odd) * (2 * k + odd));
  return sum;
}

// Both branches are finite everywhere, so that neither spoils the other's derivative.
template <class Far>
Tensor joined(const Tensor& s, int curvature, int odd, Far far) {
  const Tensor near = s < kSmall;
  return torch::where(near, series(s.clamp_max(kSmall), curvature, odd), far(s.clamp_min(kSmall).sqrt()));
}

}  // namespace

Tensor curved_cos(const Tensor& s, int curvature) {
  return joined(s, curvature, 0, [&](const Tensor& r) { return curvature > 0 ? r.cos() : r.cosh(); });
}

Tensor curved_sinc(const Tensor& s, int curvature) {
  return joined(s, curvature, 1, [&](const Tensor& r) { return (curvature > 0 ? r.sin() : r.sinh()) / r; });
}

Tensor log_curved_sinc(const Tensor& s, int curvature) {
  if (curvature > 0) return curved_sinc(s, curvature).log();
  const Tensor near = s < kSmall, r = s.clamp_min(kSmall).sqrt();
  return torch::where(near, series(s.clamp_max(kSmall), curvature, 1).log(),
                      r + (-torch::expm1(-2 * r)).log() - std::log(2.0) - r.log());
}

GaussLegendre gauss_legendre(std::int64_t n, double low, double high) {
  std::vector<double> nodes(static_cast<std::size_t>(n)), weights(nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    // Newton's method from Tricomi's approximation.
    double x = std::cos(M_PI * (static_cast<double>(i) + 0.75) / (static_cast<double>(n) + 0.5)), slope = 1;
    for (int step = 0; step < 100; ++step) {
      double before = 1, value = x;
      for (std::int64_t k = 2; k <= n; ++k) {
        const auto order = static_cast<double>(k);
        const double next = ((2 * order - 1) * x * value - (order - 1) * before) / order;
        before = value;
        value = next;
      }
      slope = static_cast<double>(n) * (x * value - before) / (x * x - 1);
      const double change = value / slope;
      x -= change;
      if (std::abs(change) < 1e-15) break;
    }
    nodes[i] = low + (high - low) * (1 - x) / 2;
    weights[i] = (high - low) / ((1 - x * x) * slope * slope);
  }
  return {torch::tensor(nodes, torch::kDouble), torch::tensor(weights, torch::kDouble)};
}

}  // namespace gibbsite
