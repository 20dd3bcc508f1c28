#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/manifold/curved.h>
#include <gibbsite/manifold/hyperbolic.h>
#include <torch/types.h>

#include <cmath>
#include <limits>

namespace gibbsite {
namespace {

Tensor row_dot(const Tensor& a, const Tensor& b) { return (a * b).sum(1, true); }

class Hyperbolic : public Manifold {
 public:
  explicit Hyperbolic(std::int64_t dimension) : d_(dimension) {}
  std::int64_t dimension() const override { return d_; }
  std::int64_t ambient() const override { return d_ + 1; }
  bool isometric() const override { return false; }
  double volume() const override { return std::numeric_limits<double>::infinity(); }
  double injectivity_radius() const override { return std::numeric_limits<double>::infinity(); }

  Tensor nearest(const Tensor& x) const override { return on_sheet(space(x)); }
  Tensor project_tangent(const Tensor& x, const Tensor& v) const override {
    return v + x * (row_dot(space(x), space(v)) - time(x) * time(v));
  }
  Tensor gradient(const Tensor& x, const Tensor& g) const override {
    return torch::cat({-time(g), space(g)}, 1) + x * row_dot(x, g);
  }
  Tensor inner(const Tensor& /*x*/, const Tensor& u, const Tensor& v) const override {
    return (row_dot(space(u), space(v)) - time(u) * time(v)).squeeze(1);
  }

  // The boost that takes the origin to x.
  Tensor lift(const Tensor& x, const Tensor& c) const override {
    const Tensor along = row_dot(space(x), c);
    return torch::cat({along, c + space(x) * (along / (1 + time(x)))}, 1);
  }
  Tensor lower(const Tensor& x, const Tensor& v) const override {
    return space(v) - space(x) * (time(v) / (1 + time(x)));
  }

  Geodesic flow(const Tensor& near, const Tensor& velocity) const override {
    const Tensor x = wide(near), v = wide(velocity);
    // The length from the frame: that of Minkowski space is a difference of large numbers.
    const Tensor c = lower(x, v), s = row_dot(c, c), cosine = curved_cos(s, -1), sinc = curved_sinc(s, -1);
    return {like(near, on_sheet(space(x) * cosine + space(v) * sinc)), like(near, v * cosine + x * (s * sinc))};
  }
  Tensor log(const Tensor& x, const Tensor& y) const override {
    const Tensor z = seen_from(wide(x), wide(y)), size = safe(length(z));
    return like(x, lift(wide(x), z * (size.asinh() / size)));
  }
  Tensor distance(const Tensor& x, const Tensor& y) const override {
    return like(x, length(seen_from(wide(x), wide(y))).asinh().squeeze(1));
  }
  Tensor acceleration(const Tensor& x, const Tensor& v) const override { return x * inner(x, v, v).unsqueeze(1); }
  Tensor log_volume_factor(const Tensor& x, const Tensor& v) const override {
    return static_cast<double>(d_ - 1) * log_curved_sinc(lower(x, v).square().sum(1), -1);
  }
  Tensor log_wrapped_normal(const Tensor& mean, const Tensor& x, double deviation) const override {
    const Tensor s = distance(rows_like(mean, x), x).square();
    return s * (-0.5 / (deviation * deviation)) - static_cast<double>(d_ - 1) * log_curved_sinc(s, -1) -
           static_cast<double>(d_) * (std::log(deviation) + 0.5 * std::log(2 * M_PI));
  }

  Tensor origin(const Tensor& like) const override {
    Tensor x = torch::zeros({1, d_ + 1}, like.options());
    x[0][0] = 1;
    return x;
  }
  Tensor sample(std::int64_t n, Rng& rng, const Tensor& like) const override {
    const Tensor x = rows_like(origin(like), torch::empty({n, 0}, like.options()));
    return exp(x, lift(x, rng.normal({n, d_}, like)));
  }
  Cubature cubature(std::int64_t per_axis, double radius) const override {
    const GaussLegendre r = gauss_legendre(per_axis, d_ == 1 ? -radius : 0, radius);
    if (d_ == 1) return {torch::stack({r.nodes.cosh(), r.nodes.sinh()}, 1), r.weights};
    if (d_ > 2)
      throw RequestError("manifold", fmt::format("there is no cubature on hyperbolic space of dimension {}", d_));
    const double turn = 2 * M_PI / static_cast<double>(per_axis);
    const Tensor angle = torch::arange(per_axis, torch::kDouble) * turn;
    const std::vector<Tensor> grid = torch::meshgrid({r.nodes, angle}, "ij");
    const Tensor sine = grid[0].flatten().sinh(), a = grid[1].flatten();
    return {torch::stack({grid[0].flatten().cosh(), sine * a.cos(), sine * a.sin()}, 1),
            (r.weights * r.nodes.sinh()).repeat_interleave(per_axis) * turn};
  }

 private:
  std::int64_t d_;

  // Lengths cancel in products of large coordinates, so float32 is too narrow on the way.
  static Tensor wide(const Tensor& t) { return t.to(torch::kDouble); }
  static Tensor like(const Tensor& x, const Tensor& t) { return t.to(x.scalar_type()); }
  static Tensor time(const Tensor& x) { return x.narrow(1, 0, 1); }
  Tensor space(const Tensor& x) const { return x.narrow(1, 1, d_); }
  static Tensor on_sheet(const Tensor& space) { return torch::cat({(1 + row_dot(space, space)).sqrt(), space}, 1); }
  // The space part of y after the boost that takes x to the origin. With e the direction of x, a and b the space lengths
  // of x and y and φ the angle between them, its part along e is sinh(r_y - r_x) - cosh r_x sinh r_y (1 - cos φ), and
  // sinh(r_y - r_x) = (b² - a²)/(b x0 + a y0): no difference of large numbers that are nearly equal.
  Tensor seen_from(const Tensor& x, const Tensor& y) const {
    const Tensor p = space(x), q = space(y), a = length(p), b = length(q), e = p / safe(a);
    const Tensor further = row_dot(q - p, q + p) / safe(b * time(x) + a * time(y));
    const Tensor turned = 0.5 * (q / safe(b) - e).square().sum(1, true);
    return e * (further - time(x) * b * turned) + (q - p - e * row_dot(e, q - p));
  }
  // √ with derivative 0 at 0, and a divisor in place of 0.
  static Tensor length(const Tensor& v) {
    const Tensor s = row_dot(v, v), none = s <= 0;
    return torch::where(none, torch::zeros_like(s), torch::where(none, torch::ones_like(s), s).sqrt());
  }
  static Tensor safe(const Tensor& t) { return torch::where(t > 0, t, torch::ones_like(t)); }
};

}  // namespace

std::shared_ptr<const Manifold> make_hyperbolic(const HyperbolicOptions& options) {
  return std::make_shared<Hyperbolic>(options.dimension);
}

}  // namespace gibbsite
