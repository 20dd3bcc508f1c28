// Normalised densities in one or two dimensions, for services that also hold data.
#pragma once

#include <gibbsite/core/tensor.h>
#include <gibbsite/metric/estimate.h>

#include <optional>
#include <vector>

namespace gibbsite {

struct PlaneIntegral {
  double log_z = 0, log_z_error = 0;
  Tensor mean, covariance;  ///< [d], [d, d] float64
};

/// True for vectors in one or two dimensions.
bool is_plane(const Shape& event);

/// Quadrature of exp(-energy) from the box low…high ([d]) widened by a quarter. Throws as quadrature does.
PlaneIntegral integrate(const EnergyFn& energy, const Tensor& low, const Tensor& high, const Tensor& like);

/// exp(-energy - log_z) at points x points cell centres of low…high ([2] each), [points (y), points (x)] float64.
Tensor plane_density(const EnergyFn& energy, const std::vector<double>& low, const std::vector<double>& high,
                     const Tensor& like, std::int64_t points, double log_z);

/// energy(x) in chunks without a graph, [N] float64.
Tensor plane_energies(const EnergyFn& energy, const Tensor& x);

}  // namespace gibbsite
