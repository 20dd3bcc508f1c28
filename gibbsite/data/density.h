// Generated data: a law one can sample, with its exact log density where that is closed. Numbers are in the units of the
// generator; x is [n, d] throughout.
#pragma once

#include <gibbsite/core/box.h>
#include <gibbsite/core/random.h>
#include <gibbsite/core/registry.h>
#include <gibbsite/core/tensor.h>
#include <gibbsite/manifold/manifold.h>

#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace gibbsite {

class Density {
 public:
  virtual ~Density() = default;

  /// d.
  virtual std::int64_t dimension() const = 0;
  /// [n, d] of `dtype` (float or double). Row r is a function of the generator's stream, step and global row only.
  virtual Tensor sample(std::int64_t n, Rng& rng, at::ScalarType dtype = at::kFloat) const = 0;
  /// Holds all but a share of about 1e-12 of the mass (exactly all of it for a bounded law): for quadrature and plots.
  virtual Box box() const = 0;
  /// The shortest length over which the density changes, for choosing a grid; 0 where it jumps.
  virtual double length_scale() const = 0;

  virtual bool has_log_density() const { return false; }
  /// Normalised, [n, d] -> [n], differentiable twice where the law is. Throws RequestError where it is not closed.
  virtual Tensor log_density(const Tensor& x) const;
  /// Gradient of log_density in x, [n, d] -> [n, d], detached; by autograd unless a law knows better.
  virtual Tensor score(const Tensor& x) const;

  /// -E log p in nats: the best expected log-likelihood of a model is its negative.
  virtual std::optional<double> entropy() const { return std::nullopt; }
  /// E |grad log p|^2: the least score matching loss of a model is minus one half of it.
  virtual std::optional<double> fisher_information() const { return std::nullopt; }
  /// The table [manifold] of the space the law lives on, with respect to whose volume log_density is; null for the plane and
  /// its like.
  virtual std::optional<Config> manifold() const { return std::nullopt; }
  /// True if the density jumps, so that its score matching loss is unbounded below.
  virtual bool has_jumps() const { return false; }
};

/// `density` with N(0, noise^2) added to every coordinate, without a closed density. Returns it unchanged for noise = 0.
std::unique_ptr<Density> jittered(std::unique_ptr<Density> density, double noise);

/// The manifold of that table, null where there is none.
std::shared_ptr<const Manifold> manifold_of(const Density& density);

/// Mass, entropy and fisher_information of a smooth two-dimensional law with a closed log density, by the trapezium rule over
/// its box with `points_per_length` points per length scale; the error falls faster than any power of that number.
/// Empty where that takes more than four million points or the density jumps.
struct DensityIntegrals {
  double mass, entropy, fisher_information;
};
std::optional<DensityIntegrals> integrate_plane(const Density& density, double points_per_length = 8);

using MakeDensity = std::function<std::unique_ptr<Density>(const Config& options)>;
/// Every entry has an option `noise`, the standard deviation of Gaussian jitter.
const Table<MakeDensity>& density_table();

}  // namespace gibbsite
