#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/text.h>
#include <gibbsite/manifold/product.h>
#include <gibbsite/manifold/sphere.h>
#include <torch/types.h>

#include <algorithm>
#include <limits>
#include <sstream>

namespace gibbsite {
namespace {

class Product : public Manifold {
 public:
  explicit Product(std::vector<std::shared_ptr<const Manifold>> factors) : factors_(std::move(factors)) {
    for (const auto& factor : factors_) {
      d_ += factor->dimension();
      ambient_ += factor->ambient();
      volume_ *= factor->volume();
      radius_ = std::min(radius_, factor->injectivity_radius());
    }
  }
  std::int64_t dimension() const override { return d_; }
  std::int64_t ambient() const override { return ambient_; }
  bool isometric() const override {
    return std::all_of(factors_.begin(), factors_.end(), [](const auto& factor) { return factor->isometric(); });
  }
  double volume() const override { return volume_; }
  double injectivity_radius() const override { return radius_; }

  Tensor nearest(const Tensor& x) const override {
    return joined([&](const Manifold& m, auto part) { return m.nearest(part(x)); });
  }
  Tensor project_tangent(const Tensor& x, const Tensor& v) const override {
    return joined([&](const Manifold& m, auto part) { return m.project_tangent(part(x), part(v)); });
  }
  Tensor gradient(const Tensor& x, const Tensor& g) const override {
    return joined([&](const Manifold& m, auto part) { return m.gradient(part(x), part(g)); });
  }
  Tensor inner(const Tensor& x, const Tensor& u, const Tensor& v) const override {
    return summed([&](const Manifold& m, auto part) { return m.inner(part(x), part(u), part(v)); });
  }
  Tensor lift(const Tensor& x, const Tensor& c) const override {
    return joined([&](const Manifold& m, auto part) { return m.lift(part(x), part(c, true)); });
  }
  Tensor lower(const Tensor& x, const Tensor& v) const override {
    return joined([&](const Manifold& m, auto part) { return m.lower(part(x), part(v)); });
  }
  Geodesic flow(const Tensor& x, const Tensor& v) const override {
    std::vector<Tensor> points, velocities;
    each([&](const Manifold& m, auto part) {
      const Geodesic end = m.flow(part(x), part(v));
      points.push_back(end.x);
      velocities.push_back(end.v);
    });
    return {torch::cat(points, 1), torch::cat(velocities, 1)};
  }
  Tensor log(const Tensor& x, const Tensor& y) const override {
    return joined([&](const Manifold& m, auto part) { return m.log(part(x), part(y)); });
  }
  Tensor distance(const Tensor& x, const Tensor& y) const override {
    const Tensor s = summed([&](const Manifold& m, auto part) { return m.distance(part(x), part(y)).square(); });
    const Tensor close = s <= 0;
    return torch::where(close, s, torch::where(close, torch::ones_like(s), s).sqrt());
  }
  Tensor acceleration(const Tensor& x, const Tensor& v) const override {
    return joined([&](const Manifold& m, auto part) { return m.acceleration(part(x), part(v)); });
  }
  Tensor log_volume_factor(const Tensor& x, const Tensor& v) const override {
    return summed([&](const Manifold& m, auto part) { return m.log_volume_factor(part(x), part(v)); });
  }
  Tensor log_wrapped_normal(const Tensor& mean, const Tensor& x, double deviation) const override {
    return summed([&](const Manifold& m, auto part) { return m.log_wrapped_normal(part(mean), part(x), deviation); });
  }
  Tensor origin(const Tensor& like) const override {
    return joined([&](const Manifold& m, auto) { return m.origin(like); });
  }
  Tensor sample(std::int64_t n, Rng& rng, const Tensor& like) const override {
    return joined([&](const Manifold& m, auto) { return m.sample(n, rng, like); });
  }
  Cubature cubature(std::int64_t per_axis, double radius) const override {
    Cubature all{torch::zeros({1, 0}, torch::kDouble), torch::ones({1}, torch::kDouble)};
    for (const auto& factor : factors_) {
      const Cubature one = factor->cubature(per_axis, radius);
      const std::int64_t before = all.weights.size(0), after = one.weights.size(0);
      if (before > 4000000 / after)
        throw RequestError("manifold", "the cubature of this product would take more than four million points");
      all.points = torch::cat({all.points.repeat_interleave(after, 0), one.points.repeat({before, 1})}, 1);
      all.weights = all.weights.repeat_interleave(after) * one.weights.repeat({before});
    }
    return all;
  }

 private:
  std::vector<std::shared_ptr<const Manifold>> factors_;
  std::int64_t d_ = 0, ambient_ = 0;
  double volume_ = 1, radius_ = std::numeric_limits<double>::infinity();

  // `visit` gets a factor and a function that takes its columns out of points, or out of coordinates in a frame.
  template <class Visit>
  void each(Visit visit) const {
    std::int64_t column = 0, coordinate = 0;
    for (const auto& factor : factors_) {
      visit(*factor, [&, column, coordinate](const Tensor& t, bool in_frame = false) {
        return in_frame ? t.narrow(1, coordinate, factor->dimension()) : t.narrow(1, column, factor->ambient());
      });
      column += factor->ambient();
      coordinate += factor->dimension();
    }
  }
  template <class Visit>
  Tensor joined(Visit visit) const {
    std::vector<Tensor> parts;
    each([&](const Manifold& m, auto part) { parts.push_back(visit(m, part)); });
    return torch::cat(parts, 1);
  }
  template <class Visit>
  Tensor summed(Visit visit) const {
    Tensor sum;
    each([&](const Manifold& m, auto part) {
      const Tensor one = visit(m, part);
      sum = sum.defined() ? sum + one : one;
    });
    return sum;
  }
};

}  // namespace

std::shared_ptr<const Manifold> make_product(const ProductOptions& options) {
  std::vector<std::shared_ptr<const Manifold>> factors;
  std::stringstream list(options.factors);
  for (std::string item; std::getline(list, item, ',');) {
    std::stringstream words(item);
    std::string name, rest;
    std::int64_t dimension = 0;
    words >> name;
    Config settings = Config::table();
    if (words >> dimension) settings.set("dimension", Config(dimension));
    words.clear();
    if (words >> rest || name.empty() || name == "product")
      throw RequestError("manifold.factors", fmt::format("'{}' is no factor", item), "as in \"sphere 2, torus 1\"");
    factors.push_back(find_entry(manifold_table(), "manifold", name, "manifold.factors").make(settings));
  }
  if (factors.empty()) throw RequestError("manifold.factors", "a product needs a factor");
  return product_of(std::move(factors));
}

std::shared_ptr<const Manifold> product_of(std::vector<std::shared_ptr<const Manifold>> factors) {
  for (const auto& factor : factors)
    if (factor->antipodal())
      throw RequestError("manifold.factors", "a factor with antipodal symmetry is not supported in a product");
  return std::make_shared<Product>(std::move(factors));
}

std::shared_ptr<const Manifold> make_torus(const TorusOptions& options) {
  SphereOptions circle;
  circle.dimension = 1;
  return product_of({static_cast<std::size_t>(options.dimension), make_sphere(circle)});
}

}  // namespace gibbsite
