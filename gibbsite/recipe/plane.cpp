#include <gibbsite/metric/quadrature.h>
#include <gibbsite/recipe/plane.h>
#include <torch/types.h>

namespace gibbsite {

bool is_plane(const Shape& event) { return event.size() == 1 && event[0] <= 2; }

PlaneIntegral integrate(const EnergyFn& energy, const Tensor& low, const Tensor& high, const Tensor& like) {
  const Quadrature result = quadrature(energy, data_box(torch::stack({low, high})), like);
  return {result.log_z, result.log_z_error, result.mean, result.covariance};
}

Tensor plane_density(const EnergyFn& energy, const std::vector<double>& low, const std::vector<double>& high,
                     const Tensor& like, std::int64_t points, double log_z) {
  return density_grid(energy, Box{low, high}, like, points, log_z);
}

Tensor plane_energies(const EnergyFn& energy, const Tensor& x) { return energies(energy, x); }

}  // namespace gibbsite
