// log ∫ exp(-F) of a Gaussian-Bernoulli machine: exact by enumeration where that is possible, else by annealed importance
// sampling with Gibbs sweeps from the machine without couplings (VaGES's code; protocol sheet 6).
#pragma once

#include <gibbsite/metric/ais.h>
#include <gibbsite/model/grbm.h>

namespace gibbsite {

/// Scales W and c by β. One transition is a sweep v -> h -> v. The machine must outlive it.
AnnealingPath annealing_path(const Grbm& machine);

struct GrbmAisOptions {
  std::int64_t chains = 2000;
  std::int64_t temperatures = 1999;
  void declare(OptionVisitor& o) {
    o.option("chains", chains, "independent chains", at_least(2));
    o.option("temperatures", temperatures, "evenly spaced values of β after 0", at_least(1));
  }
};

/// A stochastic lower bound, hence of log-likelihoods a stochastic upper bound, with its standard error.
LogMean annealed_log_z(const Grbm& machine, const GrbmAisOptions& options, const Rng& rng, const Ports& ports = {});

/// The same from exact samples v of the machine back to the machine without couplings, one chain each: a stochastic upper
/// bound. From other points of v it is an estimate and no bound.
LogMean reverse_annealed_log_z(const Grbm& machine, const Tensor& v, std::int64_t temperatures, const Rng& rng,
                               const Ports& ports = {});

/// log p(v) row by row by reverse annealing, options.chains chains for each: [N] float64, low on average where the annealed
/// estimate is high (RAISE).
Tensor reverse_annealed_log_likelihood(const Grbm& machine, const Tensor& v, const GrbmAisOptions& options,
                                       const Rng& rng, const Ports& ports = {});

/// Exact, with standard error 0, up to Grbm::kMostEnumerated latent variables; annealed beyond.
Estimate log_z(const Grbm& machine, const GrbmAisOptions& options, const Rng& rng, const Ports& ports = {});

}  // namespace gibbsite
