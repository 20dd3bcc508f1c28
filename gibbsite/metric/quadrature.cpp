#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/metric/quadrature.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {
namespace {

const char* const where = "quadrature";

Tensor axis_points(double low, double high, std::int64_t cells) {
  return at::linspace(low, high, cells + 1, at::TensorOptions().dtype(at::kDouble));
}

// Minus the energy at every point of the grid, float64: [n_x] or [n_y, n_x].
Tensor log_values(const EnergyFn& energy, const std::vector<Tensor>& axes, const Tensor& like, std::int64_t chunk) {
  const bool plane = axes.size() == 2;
  const std::int64_t columns = axes[0].numel();
  const std::int64_t count = columns * (plane ? axes[1].numel() : 1);
  const Tensor result = at::empty({count}, at::TensorOptions().dtype(at::kDouble));
  const at::NoGradGuard no_grad;
  for (std::int64_t begin = 0; begin < count; begin += chunk) {
    const std::int64_t size = std::min(chunk, count - begin);
    const Tensor index = at::arange(begin, begin + size, at::TensorOptions().dtype(at::kLong));
    std::vector<Tensor> coordinates{axes[0].index_select(0, index.remainder(columns))};
    if (plane) coordinates.push_back(axes[1].index_select(0, index.div(columns, "floor")));
    const Tensor points = at::stack(coordinates, 1).to(like.device(), like.scalar_type());
    const Tensor values = energy(points);
    if (values.dim() != 1 || values.size(0) != size) throw WorkError(where, "the energy of [B, d] points is not [B]");
    result.narrow(0, begin, size).copy_(values.neg());
  }
  if (result.isnan().any().item<bool>() || result.eq(HUGE_VAL).any().item<bool>()) {
    throw WorkError(where, "the energy is not a number, or minus infinity, somewhere on the box");
  }
  return plane ? result.view({-1, columns}) : result;
}

std::vector<Tensor> grid_axes(const Box& box, std::int64_t cells) {
  std::vector<Tensor> axes;
  for (std::size_t i = 0; i < box.low.size(); ++i) axes.push_back(axis_points(box.low[i], box.high[i], cells));
  return axes;
}

// Log of the trapezoidal weight, without the cell volume, on one axis.
Tensor log_weights(std::int64_t points) {
  const Tensor weights = at::zeros({points}, at::TensorOptions().dtype(at::kDouble));
  weights[0] = -std::log(2.0);
  weights[points - 1] = -std::log(2.0);
  return weights;
}

Tensor add_log_weights(const Tensor& values) {
  Tensor result = values + log_weights(values.size(-1));
  if (values.dim() == 2) result = result + log_weights(values.size(0)).unsqueeze(1);
  return result;
}

double log_sum(const Tensor& values) { return values.flatten().logsumexp(0).item<double>(); }

double log_cell(const Box& box, std::int64_t cells) {
  double result = 0;
  for (std::size_t i = 0; i < box.low.size(); ++i) result += std::log((box.high[i] - box.low[i]) / cells);
  return result;
}

Tensor every_second(const Tensor& values) {
  Tensor result = values.slice(-1, 0, values.size(-1), 2);
  return values.dim() == 2 ? result.slice(0, 0, values.size(0), 2) : result;
}

Box doubled(const Box& box) {
  Box result = box;
  for (std::size_t i = 0; i < box.low.size(); ++i) {
    const double half = (box.high[i] - box.low[i]) / 2;
    result.low[i] -= half;
    result.high[i] += half;
  }
  return result;
}

// The part of `box` beyond which each side holds no more than `share` of the mass, and whether no side is cut by the
// border. masses: normalised, dimensions as in log_values.
struct Trimmed {
  Box box;
  bool inside;
};

Trimmed trim(const Box& box, const Tensor& masses, double share) {
  Trimmed result{box, true};
  for (std::size_t i = 0; i < box.low.size(); ++i) {
    const Tensor marginal = masses.dim() == 1 ? masses : masses.sum(i == 0 ? 0 : 1);
    const double* mass = marginal.data_ptr<double>();
    const std::int64_t last = marginal.numel() - 1;
    const double spacing = (box.high[i] - box.low[i]) / static_cast<double>(last);
    std::int64_t first_kept = 0, last_kept = last;
    for (double sum = mass[0]; first_kept < last && sum <= share; sum += mass[first_kept]) ++first_kept;
    for (double sum = mass[last]; last_kept > 0 && sum <= share; sum += mass[last_kept]) --last_kept;
    // A cell on either side, because the mass of a grid point belongs to the cells around it.
    first_kept -= 1;
    last_kept += 1;
    if (first_kept <= 0 || last_kept >= last) result.inside = false;
    result.box.low[i] = box.low[i] + spacing * static_cast<double>(std::max<std::int64_t>(first_kept, 0));
    result.box.high[i] = box.low[i] + spacing * static_cast<double>(std::min(last_kept, last));
  }
  return result;
}

// Share of the mass on the grid of `box` that lies outside `inner`.
double share_outside(const Box& inner, const std::vector<Tensor>& axes, const Tensor& masses) {
  std::vector<Tensor> in;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    in.push_back(axes[i].ge(inner.low[i]).logical_and(axes[i].le(inner.high[i])));
  }
  const Tensor both = axes.size() == 1 ? in[0] : in[1].unsqueeze(1).logical_and(in[0].unsqueeze(0));
  return masses.masked_select(both.logical_not()).sum().item<double>();
}

void check_box(const Box& box) {
  if (box.low.size() != box.high.size() || box.low.empty() || box.low.size() > 2) {
    throw RequestError(where, fmt::format("works in one or two dimensions, not {}", box.low.size()));
  }
  for (std::size_t i = 0; i < box.low.size(); ++i) {
    if (!(box.low[i] < box.high[i]) || !std::isfinite(box.low[i]) || !std::isfinite(box.high[i])) {
      throw RequestError(where, fmt::format("side [{}, {}] of the box is empty or infinite", box.low[i], box.high[i]));
    }
  }
}

double rounding(const Tensor& like) { return like.scalar_type() == at::kDouble ? 2.2e-16 : 1.2e-7; }

}  // namespace

Box data_box(const Tensor& points, double margin) {
  if (points.dim() != 2 || points.size(0) == 0) throw RequestError(where, "needs points [N, d]");
  const Tensor low = points.detach().amin(0).to(at::kCPU, at::kDouble);
  const Tensor high = points.detach().amax(0).to(at::kCPU, at::kDouble);
  Box box;
  for (std::int64_t i = 0; i < points.size(1); ++i) {
    const double a = low[i].item<double>(), b = high[i].item<double>();
    const double widening = b > a ? margin * (b - a) : 1;
    box.low.push_back(a - widening);
    box.high.push_back(b + widening);
  }
  return box;
}

Quadrature quadrature(const EnergyFn& energy, const Box& start, const Tensor& like,
                      const QuadratureSettings& settings) {
  check_box(start);
  const std::int64_t cells = settings.cells + settings.cells % 2;
  const std::int64_t coarse_cells = std::max<std::int64_t>(cells / 2 + cells / 2 % 2, 8);
  Quadrature result;
  result.box = start;
  result.outside = std::nan("");
  for (std::int64_t round = 0; settings.enlargements > 0; ++round) {
    const Box wide = doubled(result.box);
    const std::vector<Tensor> axes = grid_axes(wide, coarse_cells);
    const Tensor values = log_values(energy, axes, like, settings.chunk);
    const double total = log_sum(values);
    if (!std::isfinite(total)) throw WorkError(where, "the density is zero on the whole box");
    const Tensor masses = (values - total).exp();
    result.outside = share_outside(result.box, axes, masses);
    if (result.outside <= settings.outside) break;
    if (round == settings.enlargements) {
      throw WorkError(where,
                      fmt::format("{:.2g} of the mass lies outside a box {:.3g} wide, with no end after {} doublings",
                                  result.outside, result.box.high[0] - result.box.low[0], round),
                      "the energy does not grow away from the data, so that no density exists");
    }
    const Trimmed trimmed = trim(wide, masses, settings.outside / (4 * static_cast<double>(wide.low.size())));
    result.box = trimmed.box;
    if (trimmed.inside) {
      result.outside = share_outside(result.box, axes, masses);
      break;
    }
  }

  const std::vector<Tensor> axes = grid_axes(result.box, cells);
  const Tensor values = log_values(energy, axes, like, settings.chunk);
  const Tensor weighted = add_log_weights(values);
  const double total = log_sum(weighted);
  if (!std::isfinite(total)) throw WorkError(where, "the density is zero on the whole box");
  result.log_z = total + log_cell(result.box, cells);
  const double coarse = log_sum(add_log_weights(every_second(values))) + log_cell(result.box, cells / 2);
  const Tensor masses = (weighted - total).exp();
  const double typical_energy =
      at::where(masses > 0, masses * values.abs(), at::zeros_like(masses)).sum().item<double>();
  result.log_z_error = std::max(std::abs(result.log_z - coarse), rounding(like) * std::max(typical_energy, 1.0));

  const std::int64_t d = static_cast<std::int64_t>(axes.size());
  result.mean = at::empty({d}, at::TensorOptions().dtype(at::kDouble));
  result.covariance = at::empty({d, d}, at::TensorOptions().dtype(at::kDouble));
  std::vector<Tensor> centred;
  for (std::int64_t i = 0; i < d; ++i) {
    const Tensor axis = i == 0 ? axes[0] : axes[1].unsqueeze(1);
    result.mean[i] = (masses * axis).sum();
    centred.push_back(axis - result.mean[i]);
  }
  for (std::int64_t i = 0; i < d; ++i) {
    for (std::int64_t j = 0; j < d; ++j) result.covariance[i][j] = (masses * centred[i] * centred[j]).sum();
  }
  result.log_density = values - result.log_z;
  return result;
}

Tensor density_grid(const EnergyFn& energy, const Box& box, const Tensor& like, std::int64_t points, double log_z) {
  check_box(box);
  std::vector<Tensor> axes;
  for (std::size_t i = 0; i < box.low.size(); ++i) {
    const double half_cell = (box.high[i] - box.low[i]) / static_cast<double>(2 * points);
    axes.push_back(axis_points(box.low[i] + half_cell, box.high[i] - half_cell, points - 1));
  }
  return (log_values(energy, axes, like, 65536) - log_z).exp();
}

Tensor energies(const EnergyFn& energy, const Tensor& x, std::int64_t chunk) {
  const at::NoGradGuard no_grad;
  std::vector<Tensor> parts;
  for (std::int64_t begin = 0; begin < x.size(0); begin += chunk) {
    parts.push_back(energy(x.narrow(0, begin, std::min(chunk, x.size(0) - begin))).to(at::kCPU, at::kDouble));
  }
  return parts.empty() ? at::empty({0}, at::TensorOptions().dtype(at::kDouble)) : at::cat(parts);
}

LogNormaliser log_normaliser(const EnergyFn& energy, const Manifold& manifold, const Tensor& points) {
  constexpr std::int64_t kPerAxis[] = {1024, 256, 48};
  constexpr double kSettled = 1e-9;
  constexpr int kDoublings = 8;
  const std::int64_t d = manifold.dimension();
  if (d < 1 || d > 3) throw RequestError(where, fmt::format("has no rule for manifolds of {} dimensions", d));
  double typical_energy = 0;
  const auto log_z = [&](std::int64_t per_axis, double radius) {
    const Cubature rule = manifold.cubature(per_axis, radius);
    const Tensor terms =
        rule.weights.log() - energies(energy, rule.points.to(points.device(), points.scalar_type())).cpu();
    const double total = log_sum(terms);
    if (!std::isfinite(total)) throw WorkError(where, "the energy is not finite somewhere on the manifold");
    const Tensor masses = (terms - total).exp();
    typical_energy = at::where(masses > 0, masses * terms.abs(), at::zeros_like(masses)).sum().item<double>();
    return total;
  };
  const std::int64_t per_axis = kPerAxis[d - 1];
  double radius = 0;
  if (std::isinf(manifold.volume())) {
    const Tensor origin = manifold.origin(points).expand_as(points);
    radius = std::max(manifold.distance(origin, points).max().item<double>(), 1.0);
    for (int doubling = 0;; ++doubling, radius *= 2) {
      const double narrow = log_z(per_axis, radius), wide = log_z(per_axis, 2 * radius);
      if (std::abs(wide - narrow) <= std::max(kSettled, rounding(points) * typical_energy)) break;
      if (doubling == kDoublings)
        throw WorkError(where,
                        fmt::format("mass lies beyond distance {:.3g} of the origin, with no end after {} doublings",
                                    radius, doubling),
                        "the energy does not grow away from the data, so that no density exists");
    }
  }
  LogNormaliser result;
  result.log_z = log_z(per_axis, radius);
  result.log_z_error =
      std::max(std::abs(result.log_z - log_z(per_axis / 2, radius)), rounding(points) * std::max(typical_energy, 1.0));
  return result;
}

LogLikelihood log_likelihood(const EnergyFn& energy, const Tensor& x, const LogNormaliser& normaliser,
                             std::int64_t chunk) {
  return {mean_estimate(-energies(energy, x, chunk) - normaliser.log_z), normaliser.log_z_error};
}

}  // namespace gibbsite
