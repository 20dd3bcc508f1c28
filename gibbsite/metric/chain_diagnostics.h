// Whether chains have mixed, and what averages over them are worth: rank-normalised split R-hat, bulk and tail effective
// sample size, Monte Carlo standard errors (Vehtari, Gelman, Simpson, Carpenter and Bürkner 2021). The numbers are those of
// the R package posterior, on which they are tested.
#pragma once

#include <gibbsite/core/tensor.h>

#include <limits>

namespace gibbsite {

/// NaN where a number is undefined: draws that are all equal or not all finite, or fewer than 4 draws per chain (6 for sample
/// sizes and errors). Every chain is split into halves; the middle draw of an odd number is left out.
struct ChainDiagnostics {
  double r_hat =
      std::numeric_limits<double>::quiet_NaN();  ///< the larger one of the draws and of their distances to the median
  double ess_bulk = std::numeric_limits<double>::quiet_NaN();   ///< of the rank-normalised draws
  double ess_tail = std::numeric_limits<double>::quiet_NaN();   ///< the smaller one of the 5 % and 95 % quantiles
  double ess_mean = std::numeric_limits<double>::quiet_NaN();   ///< of the draws as they are
  double mcse_mean = std::numeric_limits<double>::quiet_NaN();  ///< standard error of the mean
  double mcse_sd = std::numeric_limits<double>::quiet_NaN();    ///< standard error of the standard deviation
};

/// draws: [S, C], S draws of each of C chains of one number, of any type; computed in float64.
ChainDiagnostics diagnose_chains(const Tensor& draws);

}  // namespace gibbsite
