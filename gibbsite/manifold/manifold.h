// Riemannian manifolds in ambient coordinates: a point is a row of [B, D], a tangent vector at it another row of the same
// width, and densities are with respect to the Riemannian volume. Everything works on batches, keeps dtype and device of
// its inputs and is differentiable through autograd (project excepted).
//
//   euclidean     R^d
//   sphere        S^d in R^(d+1)
//   hyperbolic    the sheet -x0² + x1² + … + xd² = -1, x0 > 0 of Minkowski space, curvature -1; time comes first
//   torus         flat, d circles of radius 1 side by side in R^(2d): (cos a, sin a) of each angle
//   product       of any of these, side by side
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/core/random.h>
#include <gibbsite/core/registry.h>
#include <gibbsite/core/tensor.h>

#include <memory>
#include <optional>
#include <string>

namespace gibbsite {

/// Points and weights of a cubature rule: ∫ f dvolume ≈ Σ weights · f(points).
struct Cubature {
  Tensor points;   ///< [N, D] float64
  Tensor weights;  ///< [N] float64
};

/// A point that moved along a geodesic, and its velocity there.
struct Geodesic {
  Tensor x;  ///< [B, D]
  Tensor v;  ///< [B, D], tangent at x, as long as at the start
};

class Manifold {
 public:
  virtual ~Manifold() = default;
  /// d.
  virtual std::int64_t dimension() const = 0;
  /// D, the width of a point.
  virtual std::int64_t ambient() const = 0;
  /// Volume of the whole, infinite where it is not compact.
  virtual double volume() const = 0;
  /// True if x and -x are the same point, so that functions of points must be even.
  virtual bool antipodal() const { return false; }
  /// True if tangent vectors are as long as in the ambient Euclidean space, which hyperbolic ones are not.
  virtual bool isometric() const { return true; }
  /// Geodesics shorter than this are shortest, and log undoes exp: π on a sphere.
  virtual double injectivity_radius() const = 0;

  /// Rows that are off by rounding, put back on the manifold: sphere and torus by scaling, hyperbolic by its time
  /// coordinate. For points known to be close; zero vectors give what is not a number.
  virtual Tensor nearest(const Tensor& x) const = 0;
  /// The same for points from outside. Throws WorkError naming the first row that is further than 1e-3 from where it would
  /// be put (zero vectors on a sphere among them), in the largest coordinate and, on the hyperbolic sheet, relative to it.
  Tensor project(const Tensor& x) const;
  /// The tangential part of v.
  virtual Tensor project_tangent(const Tensor& x, const Tensor& v) const = 0;
  /// Riemannian gradient at x of a function whose ambient gradient is g: tangent, and independent of how the function goes
  /// on outside the manifold.
  virtual Tensor gradient(const Tensor& x, const Tensor& g) const { return project_tangent(x, g); }
  /// ⟨u, v⟩ of tangent vectors at x: [B].
  virtual Tensor inner(const Tensor& x, const Tensor& u, const Tensor& v) const;

  /// The tangent vector with coordinates c ([B, d]) in an orthonormal frame at x, and back. The frame is a function of x
  /// alone, and jumps somewhere on spheres of even dimension, as it must.
  virtual Tensor lift(const Tensor& x, const Tensor& c) const = 0;
  virtual Tensor lower(const Tensor& x, const Tensor& v) const = 0;

  /// Where the geodesic from x with velocity v is at time 1, and its velocity there. v = 0 stays, derivatives included.
  virtual Geodesic flow(const Tensor& x, const Tensor& v) const = 0;
  Tensor exp(const Tensor& x, const Tensor& v) const { return flow(x, v).x; }
  /// The shortest v with exp(x, v) = y, zero for y = x. On the cut locus (antipodes of a sphere), where several are
  /// shortest, one of them, of the right length, and a derivative of zero.
  virtual Tensor log(const Tensor& x, const Tensor& y) const = 0;
  /// Length of log(x, y): [B].
  virtual Tensor distance(const Tensor& x, const Tensor& y) const = 0;
  /// γ''(0) in ambient coordinates, of the geodesic γ from x with velocity v: what a second derivative along it needs
  /// beyond v.
  virtual Tensor acceleration(const Tensor& x, const Tensor& v) const = 0;

  /// log of exp's volume factor at v, [B]: on a sphere (d - 1) log(sin r / r), r = |v| < π. The same seen from either end.
  virtual Tensor log_volume_factor(const Tensor& x, const Tensor& v) const = 0;
  /// log density of exp(mean, deviation · ω), ω standard normal in the tangent space, with all the ways round: [B]. `mean`
  /// is one row or as many as x. On a sphere with d > 1 the ways round meet again at the mean and its antipode, where the
  /// density is infinite (and integrable); it is cut within 1e-12 of them.
  virtual Tensor log_wrapped_normal(const Tensor& mean, const Tensor& x, double deviation) const = 0;

  /// Some point, [1, D]: the last unit vector of a sphere, the lowest point of the sheet, the origin.
  virtual Tensor origin(const Tensor& like) const = 0;
  /// n points, [n, D] of like's dtype and device: uniform where the volume is finite, else of the wrapped normal law of
  /// deviation 1 around the origin.
  virtual Tensor sample(std::int64_t n, Rng& rng, const Tensor& like) const = 0;
  /// Standard normal in every tangent space: [B, D].
  Tensor tangent_noise(const Tensor& x, Rng& rng) const;

  /// A rule with about `per_axis` points in every direction; exact to rounding for smooth functions once it resolves them.
  /// What is not compact is cut at distance `radius` from the origin (in every coordinate for Euclidean space). Throws
  /// RequestError where there is none: spheres and hyperbolic spaces of dimension above 3 and 2, products above 4 million
  /// points.
  virtual Cubature cubature(std::int64_t per_axis, double radius) const = 0;
};

/// exp(mean, deviation · ω) per row of `mean` ([n, D]), ω standard normal in the tangent space: Manifold::log_wrapped_normal
/// is its log density.
Tensor sample_wrapped_normal(const Manifold& manifold, const Tensor& mean, double deviation, Rng& rng);

/// The rows of `x` as [n, D] with n = rows of `like`.
Tensor rows_like(const Tensor& x, const Tensor& like);

using MakeManifold = std::function<std::shared_ptr<const Manifold>(const Config& options)>;
const Table<MakeManifold>& manifold_table();

}  // namespace gibbsite
