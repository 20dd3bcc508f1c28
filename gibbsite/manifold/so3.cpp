#include <gibbsite/manifold/so3.h>
#include <gibbsite/manifold/sphere.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

// The sphere of quaternions, halved.
class Rotations : public Manifold {
 public:
  Rotations() {
    SphereOptions options;
    options.dimension = 3;
    sphere_ = make_sphere(options);
  }
  std::int64_t dimension() const override { return 3; }
  std::int64_t ambient() const override { return 4; }
  double volume() const override { return M_PI * M_PI; }
  bool antipodal() const override { return true; }
  double injectivity_radius() const override { return M_PI / 2; }

  Tensor nearest(const Tensor& x) const override { return sphere_->nearest(x); }
  Tensor project_tangent(const Tensor& x, const Tensor& v) const override { return sphere_->project_tangent(x, v); }
  Tensor lift(const Tensor& x, const Tensor& c) const override { return sphere_->lift(x, c); }
  Tensor lower(const Tensor& x, const Tensor& v) const override { return sphere_->lower(x, v); }
  Geodesic flow(const Tensor& x, const Tensor& v) const override { return sphere_->flow(x, v); }
  Tensor log(const Tensor& x, const Tensor& y) const override { return sphere_->log(x, same_side(x, y)); }
  Tensor distance(const Tensor& x, const Tensor& y) const override { return sphere_->distance(x, same_side(x, y)); }
  Tensor acceleration(const Tensor& x, const Tensor& v) const override { return sphere_->acceleration(x, v); }
  Tensor log_volume_factor(const Tensor& x, const Tensor& v) const override { return sphere_->log_volume_factor(x, v); }
  Tensor log_wrapped_normal(const Tensor& mean, const Tensor& x, double deviation) const override {
    return torch::logaddexp(sphere_->log_wrapped_normal(mean, x, deviation),
                            sphere_->log_wrapped_normal(mean, -x, deviation));
  }
  Tensor origin(const Tensor& like) const override { return sphere_->origin(like); }
  Tensor sample(std::int64_t n, Rng& rng, const Tensor& like) const override { return sphere_->sample(n, rng, like); }
  // The whole sphere at half weight, so that what is not even shows as an asymmetry.
  Cubature cubature(std::int64_t per_axis, double radius) const override {
    const Cubature whole = sphere_->cubature(per_axis, radius);
    return {whole.points, whole.weights * 0.5};
  }

 private:
  std::shared_ptr<const Manifold> sphere_;

  // y or -y, whichever is nearer to x.
  static Tensor same_side(const Tensor& x, const Tensor& y) {
    const Tensor dot = (x * y).sum(1, true);
    return torch::where(dot < 0, -y, y);
  }
};

}  // namespace

std::shared_ptr<const Manifold> make_so3(const RotationOptions& /*options*/) { return std::make_shared<Rotations>(); }

}  // namespace gibbsite
