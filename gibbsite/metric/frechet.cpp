#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/metric/frechet.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {
namespace {

Tensor symmetric_root(const Tensor& matrix) {
  const auto [values, vectors] = at::linalg_eigh(matrix);
  return at::matmul(vectors * values.clamp_min(0).sqrt(), vectors.t());
}

double trace_of(const Tensor& matrix) { return matrix.diagonal().sum().item<double>(); }

// The trace of the geometric part, given the root of one covariance and the other one.
double distance(const Tensor& difference, const Tensor& a, const Tensor& root_a, const Tensor& b) {
  const Tensor product = at::matmul(at::matmul(root_a, b), root_a);
  const double cross = at::linalg_eigvalsh(0.5 * (product + product.t())).clamp_min(0).sqrt().sum().item<double>();
  return difference.square().sum().item<double>() + trace_of(a) + trace_of(b) - 2 * cross;
}

struct Sums {
  double count = 0;
  Tensor first, second;  // Σ x [d], Σ x xᵀ [d, d]

  static Sums of(const Tensor& x) { return {static_cast<double>(x.size(0)), x.sum(0), at::matmul(x.t(), x)}; }
  Sums without(const Sums& part) const { return {count - part.count, first - part.first, second - part.second}; }
  Tensor mean() const { return first / count; }
  Tensor covariance() const { return (second - at::outer(first, first) / count) / (count - 1); }
};

// Squared standard error that rows of x contribute, all rows of the other sample in place.
double jackknife(const Tensor& x, const Sums& all, const Sums& other, std::int64_t groups) {
  groups = std::min(groups, x.size(0));
  const Tensor covariance = other.covariance(), root = symmetric_root(covariance), mean = other.mean();
  std::vector<double> values;
  for (std::int64_t g = 0; g < groups; ++g) {
    const Sums rest = all.without(Sums::of(x.slice(0, g, x.size(0), groups)));
    values.push_back(distance(rest.mean() - mean, covariance, root, rest.covariance()));
  }
  double centre = 0, spread = 0;
  for (const double value : values) centre += value / static_cast<double>(groups);
  for (const double value : values) spread += (value - centre) * (value - centre);
  return spread * static_cast<double>(groups - 1) / static_cast<double>(groups);
}

Tensor checked(const Tensor& x, const char* what) {
  if (x.dim() != 2 || x.size(0) < 2)
    throw WorkError("frechet_distance",
                    fmt::format("{} is {}, expected at least two rows", what, format_shape(x.sizes())));
  const Tensor rows = x.detach().to(at::kCPU, at::kDouble);
  check_finite("frechet_distance", what, rows);
  return rows;
}

}  // namespace

double gaussian_frechet_distance(const Tensor& mean_a, const Tensor& covariance_a, const Tensor& mean_b,
                                 const Tensor& covariance_b) {
  const auto exact = [](const Tensor& x) { return x.detach().to(at::kCPU, at::kDouble); };
  const Tensor a = exact(covariance_a);
  return std::max(0.0, distance(exact(mean_a) - exact(mean_b), a, symmetric_root(a), exact(covariance_b)));
}

Estimate frechet_distance(const Tensor& a, const Tensor& b, std::int64_t groups) {
  const Tensor rows_a = checked(a, "the first sample"), rows_b = checked(b, "the second sample");
  if (rows_a.size(1) != rows_b.size(1))
    throw WorkError("frechet_distance",
                    fmt::format("the samples have {} and {} features", rows_a.size(1), rows_b.size(1)));
  // Sums of squares lose digits far from zero.
  const Tensor centre = rows_b.mean(0), x = rows_a - centre, y = rows_b - centre;
  const Sums sums_x = Sums::of(x), sums_y = Sums::of(y);
  Estimate estimate;
  estimate.value = gaussian_frechet_distance(sums_x.mean(), sums_x.covariance(), sums_y.mean(), sums_y.covariance());
  estimate.count = std::min(x.size(0), y.size(0));
  // Two rows must be left in every part of the jackknife.
  if (estimate.count >= 4 && groups >= 2)
    estimate.standard_error = std::sqrt(jackknife(x, sums_x, sums_y, groups) + jackknife(y, sums_y, sums_x, groups));
  return estimate;
}

}  // namespace gibbsite
