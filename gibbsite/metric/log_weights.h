// Means of numbers known by their logarithms: what importance sampling and annealing end with.
#pragma once

#include <gibbsite/core/random.h>
#include <gibbsite/core/tensor.h>
#include <gibbsite/metric/estimate.h>

#include <functional>

namespace gibbsite {

struct LogMean {
  /// log (1/N) Σ exp(w_i); the standard error is that of the mean divided by it, first order in the weights' noise.
  Estimate log_mean;
  double effective = 0;  ///< effective sample size (Σ e^w)² / Σ e^2w
};

/// log_weights: [N], −∞ allowed; summed in float64. Throws WorkError for a NaN or +∞.
LogMean log_mean_weight(const Tensor& log_weights);

/// log ∫ exp(−energy) from `samples` points of `proposal`, drawn `block` at a time with rng.at_row of the first.
struct Proposal {
  std::function<Tensor(std::int64_t rows, Rng& rng)> sample;  ///< [rows, *event]
  std::function<Tensor(const Tensor& x)> log_density;         ///< [rows], normalised
};
LogMean importance_log_z(const EnergyFn& energy, const Proposal& proposal, std::int64_t samples, const Rng& rng,
                         std::int64_t block = 10000);

/// N(0, deviation² I) in d dimensions, in the dtype and on the device of `like`.
Proposal gaussian_proposal(std::int64_t d, double deviation, const Tensor& like);

}  // namespace gibbsite
