#include <gibbsite/core/error.h>
#include <gibbsite/manifold/euclidean.h>
#include <torch/types.h>

#include <cmath>
#include <limits>

namespace gibbsite {
namespace {

class Euclidean : public Manifold {
 public:
  explicit Euclidean(std::int64_t dimension) : d_(dimension) {}
  std::int64_t dimension() const override { return d_; }
  std::int64_t ambient() const override { return d_; }
  double volume() const override { return std::numeric_limits<double>::infinity(); }
  double injectivity_radius() const override { return std::numeric_limits<double>::infinity(); }

  Tensor nearest(const Tensor& x) const override { return x; }
  Tensor project_tangent(const Tensor& /*x*/, const Tensor& v) const override { return v; }
  Tensor lift(const Tensor& /*x*/, const Tensor& c) const override { return c; }
  Tensor lower(const Tensor& /*x*/, const Tensor& v) const override { return v; }
  Geodesic flow(const Tensor& x, const Tensor& v) const override { return {x + v, v}; }
  Tensor log(const Tensor& x, const Tensor& y) const override { return y - x; }
  Tensor distance(const Tensor& x, const Tensor& y) const override { return (y - x).norm(2, 1); }
  Tensor acceleration(const Tensor& x, const Tensor& /*v*/) const override { return torch::zeros_like(x); }
  Tensor log_volume_factor(const Tensor& x, const Tensor& /*v*/) const override {
    return torch::zeros({x.size(0)}, x.options());
  }
  Tensor log_wrapped_normal(const Tensor& mean, const Tensor& x, double deviation) const override {
    return (x - mean).square().sum(1) * (-0.5 / (deviation * deviation)) -
           static_cast<double>(d_) * (std::log(deviation) + 0.5 * std::log(2 * M_PI));
  }

  Tensor origin(const Tensor& like) const override { return torch::zeros({1, d_}, like.options()); }
  Tensor sample(std::int64_t n, Rng& rng, const Tensor& like) const override { return rng.normal({n, d_}, like); }
  Cubature cubature(std::int64_t per_axis, double radius) const override {
    const double points = std::pow(static_cast<double>(per_axis), static_cast<double>(d_));
    if (points > 4e6) throw RequestError("manifold", "Euclidean cubature would take more than four million points");
    // The midpoint rule: as good as the trapezium rule for what vanishes at the border.
    const double cell = 2 * radius / static_cast<double>(per_axis);
    const Tensor axis = (torch::arange(per_axis, torch::kDouble) + 0.5) * cell - radius;
    const std::vector<Tensor> axes(static_cast<std::size_t>(d_), axis);
    std::vector<Tensor> columns;
    for (const Tensor& column : torch::meshgrid(axes, "ij")) columns.push_back(column.flatten());
    const Tensor x = torch::stack(columns, 1);
    return {x, torch::full({x.size(0)}, std::pow(cell, static_cast<double>(d_)), torch::kDouble)};
  }

 private:
  std::int64_t d_;
};

}  // namespace

std::shared_ptr<const Manifold> make_euclidean(const EuclideanOptions& options) {
  return std::make_shared<Euclidean>(options.dimension);
}

}  // namespace gibbsite
