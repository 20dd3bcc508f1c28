// Partition function, moments and density of an energy in one or two dimensions by the trapezoidal rule on a box. For a
// smooth density that vanishes at the border the rule converges faster than any power of the spacing. The partition function
// on a manifold, by its cubature.
#pragma once

#include <gibbsite/core/box.h>
#include <gibbsite/core/options.h>
#include <gibbsite/core/tensor.h>
#include <gibbsite/manifold/manifold.h>
#include <gibbsite/metric/estimate.h>

#include <vector>

namespace gibbsite {

/// The range of points [N, d], widened on every side by `margin` of its width.
Box data_box(const Tensor& points, double margin = 0.25);

struct QuadratureSettings {
  std::int64_t cells = 512;
  double outside = 1e-9;
  std::int64_t enlargements = 8;
  std::int64_t chunk = 65536;
  void declare(OptionVisitor& o) {
    o.option("cells", cells, "cells per axis of the fine grid; the coarse one has half as many (made even)",
             at_least(8));
    o.option("outside", outside, "the box grows until the share of mass between it and its double is below this",
             positive());
    o.option("enlargements", enlargements, "how often the box may grow; 0 takes it as it is", at_least(0));
    o.option("chunk", chunk, "points evaluated at once", at_least(1));
  }
};

struct LogNormaliser {
  double log_z = 0;  ///< log of the integral of exp(-energy)
  double log_z_error =
      0;  ///< |difference| to a rule with half the points per axis, and at least the rounding of the energy's dtype
};

struct Quadrature : LogNormaliser {
  Box box;             ///< after enlargement; what is integrated over
  double outside = 0;  ///< share of mass found between the box and its double; NaN with enlargements = 0
  Tensor mean;         ///< [d] float64
  Tensor covariance;   ///< [d, d] float64
  Tensor log_density;  ///< normalised, float64 at the grid points: [cells + 1], or [cells + 1 (y), cells + 1 (x)]
};

/// `like` is any tensor of the model's dtype and device with last size d in {1, 2}: points are evaluated in that dtype,
/// sums are float64 log-sum-exp. Throws RequestError for other dimensions, WorkError if the energy is not finite on the
/// box or if mass keeps appearing outside (the energy does not grow away from the data, so that no density exists).
Quadrature quadrature(const EnergyFn& energy, const Box& box, const Tensor& like,
                      const QuadratureSettings& settings = {});

/// exp(-energy - log_z) at `points` x `points` cell centres of a box, for pictures: [points] or [points (y), points (x)],
/// float64. log_z = 0 and minus an exact log density as the energy give the truth beside a model.
Tensor density_grid(const EnergyFn& energy, const Box& box, const Tensor& like, std::int64_t points, double log_z = 0);

/// On a manifold with a cubature, with respect to its volume. What is not compact is cut at a distance from the origin that
/// doubles from that of the farthest of `points` until log Z changes by less than 1e-9; WorkError where it does not in 8
/// doublings. Points are evaluated in the dtype and on the device of `points`, [N, ambient]. Throws RequestError where the
/// manifold has no cubature or more than three dimensions.
LogNormaliser log_normaliser(const EnergyFn& energy, const Manifold& manifold, const Tensor& points);

struct LogLikelihood {
  Estimate estimate;            ///< mean of -energy(x) - log Z over the held-out points, s.e. over points
  double quadrature_error = 0;  ///< of log Z
};

/// x: held-out points [N, d].
LogLikelihood log_likelihood(const EnergyFn& energy, const Tensor& x, const LogNormaliser& normaliser,
                             std::int64_t chunk = 65536);

/// energy(x) in chunks without a graph, [N] in float64.
Tensor energies(const EnergyFn& energy, const Tensor& x, std::int64_t chunk = 65536);

}  // namespace gibbsite
