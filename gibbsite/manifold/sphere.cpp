#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/manifold/curved.h>
#include <gibbsite/manifold/sphere.h>
#include <torch/types.h>

#include <cmath>
#include <limits>

namespace gibbsite {
namespace {

Tensor row_dot(const Tensor& a, const Tensor& b) { return (a * b).sum(1, true); }

class Sphere : public Manifold {
 public:
  explicit Sphere(std::int64_t dimension) : d_(dimension) {}
  std::int64_t dimension() const override { return d_; }
  std::int64_t ambient() const override { return d_ + 1; }
  double volume() const override { return std::exp(log_sphere_area(d_ + 1)); }
  double injectivity_radius() const override { return M_PI; }

  Tensor nearest(const Tensor& x) const override { return x / x.norm(2, 1, true); }
  Tensor project_tangent(const Tensor& x, const Tensor& v) const override { return v - x * row_dot(x, v); }

  // The Householder reflection that takes the last unit vector to ±x takes the others to the frame.
  Tensor lift(const Tensor& x, const Tensor& c) const override {
    const Tensor flat = torch::cat({c, torch::zeros_like(x.narrow(1, d_, 1))}, 1);
    return reflect(x, flat);
  }
  Tensor lower(const Tensor& x, const Tensor& v) const override { return reflect(x, v).narrow(1, 0, d_); }

  Geodesic flow(const Tensor& x, const Tensor& v) const override {
    const Tensor s = row_dot(v, v), cosine = curved_cos(s, 1), sinc = curved_sinc(s, 1);
    // The shortening of rounding does not add up over many steps.
    return {nearest(x * cosine + v * sinc), v * cosine - x * (s * sinc)};
  }
  Tensor log(const Tensor& x, const Tensor& y) const override {
    const Tensor u = towards(x, y), s = row_dot(u, u), cosine = row_dot(x, y);
    const Tensor close = s <= tiny(x), size = torch::where(close, torch::ones_like(s), s).sqrt();
    const Tensor v = torch::where(close, u, u * (torch::atan2(size, cosine) / size));
    const Tensor opposite = close.logical_and(cosine < 0);
    Tensor any = torch::zeros({x.size(0), d_}, x.options());
    any.select(1, 0).fill_(M_PI);
    return torch::where(opposite, lift(x.detach(), any), v);
  }
  Tensor distance(const Tensor& x, const Tensor& y) const override {
    const Tensor u = towards(x, y), s = row_dot(u, u), cosine = row_dot(x, y);
    const Tensor close = s <= tiny(x), size = torch::where(close, torch::ones_like(s), s).sqrt();
    const Tensor limit = torch::where(cosine < 0, torch::full_like(s, M_PI), s.sqrt().detach());
    return torch::where(close, limit, torch::atan2(size, cosine)).squeeze(1);
  }
  Tensor acceleration(const Tensor& x, const Tensor& v) const override { return -x * row_dot(v, v); }
  Tensor log_volume_factor(const Tensor& /*x*/, const Tensor& v) const override {
    return static_cast<double>(d_ - 1) * log_curved_sinc(v.square().sum(1), 1);
  }
  Tensor log_wrapped_normal(const Tensor& mean, const Tensor& x, double deviation) const override {
    const Tensor r = distance(rows_like(mean, x), x);
    // The geodesics that lead to x have lengths |r + 2πk|; beyond nine deviations nothing arrives.
    const auto turns = static_cast<std::int64_t>(std::ceil((9 * deviation + M_PI) / (2 * M_PI)));
    std::vector<Tensor> ways;
    for (std::int64_t k = -turns; k <= turns; ++k) {
      const Tensor length = r + 2 * M_PI * static_cast<double>(k);
      const Tensor factor = k == 0 ? log_curved_sinc(r.square(), 1) : (r.sin().clamp_min(1e-12) / length).abs().log();
      ways.push_back(length.square() * (-0.5 / (deviation * deviation)) - static_cast<double>(d_ - 1) * factor);
    }
    return torch::logsumexp(torch::stack(ways), 0) -
           static_cast<double>(d_) * (std::log(deviation) + 0.5 * std::log(2 * M_PI));
  }

  Tensor origin(const Tensor& like) const override {
    Tensor x = torch::zeros({1, d_ + 1}, like.options());
    x[0][d_] = 1;
    return x;
  }
  Tensor sample(std::int64_t n, Rng& rng, const Tensor& like) const override {
    return directions(rng.normal({n, d_ + 1}, like));
  }
  Cubature cubature(std::int64_t per_axis, double /*radius*/) const override {
    const Tensor angle = torch::arange(per_axis, torch::kDouble) * (2 * M_PI / static_cast<double>(per_axis));
    const double turn = 2 * M_PI / static_cast<double>(per_axis);
    if (d_ == 1) return {torch::stack({angle.cos(), angle.sin()}, 1), torch::full({per_axis}, turn, torch::kDouble)};
    const std::int64_t half = (per_axis + 1) / 2;
    if (d_ == 2) {
      const GaussLegendre height = gauss_legendre(half, -1, 1);
      const std::vector<Tensor> grid = torch::meshgrid({height.nodes, angle}, "ij");
      const Tensor z = grid[0].flatten(), a = grid[1].flatten(), radius = (1 - z.square()).sqrt();
      return {torch::stack({radius * a.cos(), radius * a.sin(), z}, 1),
              height.weights.repeat_interleave(per_axis) * turn};
    }
    if (d_ == 3) {
      // Pairs of radii √(1 - u), √u: the volume is ½ du da db.
      const GaussLegendre share = gauss_legendre(half, 0, 1);
      const std::vector<Tensor> grid = torch::meshgrid({share.nodes, angle, angle}, "ij");
      const Tensor u = grid[0].flatten(), a = grid[1].flatten(), b = grid[2].flatten();
      const Tensor first = (1 - u).sqrt(), second = u.sqrt();
      return {torch::stack({first * a.cos(), first * a.sin(), second * b.cos(), second * b.sin()}, 1),
              share.weights.repeat_interleave(per_axis * per_axis) * (0.5 * turn * turn)};
    }
    throw RequestError("manifold", fmt::format("there is no cubature on the sphere of dimension {}", d_));
  }

 private:
  std::int64_t d_;

  // y's component across x, without the rounding of a difference of nearly equal vectors. Near the antipode the first
  // projection leaves little else than rounding along x, which the second takes away.
  Tensor towards(const Tensor& x, const Tensor& y) const { return project_tangent(x, project_tangent(x, y - x)); }
  // Squared lengths of which nothing but rounding is left.
  static double tiny(const Tensor& x) { return x.scalar_type() == torch::kDouble ? 1e-29 : 1e-12; }

  Tensor reflect(const Tensor& x, const Tensor& z) const {
    const Tensor last = x.narrow(1, d_, 1);
    const Tensor sign = torch::where(last < 0, -torch::ones_like(last), torch::ones_like(last)).detach();
    const Tensor w = torch::cat({x.narrow(1, 0, d_), last + sign}, 1);
    return z - w * (row_dot(w, z) / (1 + last.abs()));
  }
};

}  // namespace

std::shared_ptr<const Manifold> make_sphere(const SphereOptions& options) {
  return std::make_shared<Sphere>(options.dimension);
}

bool is_sphere(const Manifold& manifold) { return dynamic_cast<const Sphere*>(&manifold) != nullptr; }

Tensor directions(const Tensor& normals) {
  const Tensor none = (normals == 0).all(1, true);
  Tensor first = torch::zeros_like(normals);
  first.select(1, 0).fill_(1);
  const Tensor safe = torch::where(none, first, normals);
  return safe / safe.norm(2, 1, true);
}

double log_sphere_area(std::int64_t m) {
  const double half = 0.5 * static_cast<double>(m);
  return std::log(2.0) + half * std::log(M_PI) - std::lgamma(half);
}

}  // namespace gibbsite
