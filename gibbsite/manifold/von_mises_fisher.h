// The von Mises–Fisher law on the unit sphere of R^m: density C_m(κ) exp(κ ⟨mean, x⟩) with respect to its area.
//
// Numbers of κ are computed in float64 whatever its dtype and returned in it; each is differentiable in κ, the normaliser
// as often as asked.
#pragma once

#include <gibbsite/core/random.h>
#include <gibbsite/core/tensor.h>

namespace gibbsite {

/// log I_ν(x) of the modified Bessel function, ν >= 0, x > 0; finite for every x to 1e6 and beyond.
double log_bessel_i(double order, double x);
/// I_(ν+1)(x) / I_ν(x), x >= 0.
double bessel_i_ratio(double order, double x);

/// log C_m(κ), like kappa; at κ = 0 minus the log of the area.
Tensor vmf_log_normaliser(const Tensor& kappa, std::int64_t m);
/// A_m(κ) = I_(m/2)(κ) / I_(m/2-1)(κ), the length of the mean of x: like kappa.
Tensor vmf_mean_length(const Tensor& kappa, std::int64_t m);
/// KL(vMF(κ) ‖ uniform), like kappa.
Tensor vmf_kl_uniform(const Tensor& kappa, std::int64_t m);
/// log density at x: [B, m] -> [B]. `mean` is [B, m] or [1, m], of unit length; `kappa` [B] or [1].
Tensor vmf_log_density(const Tensor& x, const Tensor& mean, const Tensor& kappa);

/// One draw per row, [B, m], by Wood's rejection of ⟨mean, x⟩, on S² by inverting its distribution function. Reparametrised:
/// differentiable in `mean` and in `kappa` ([B], above 0) with the accepted draws held fixed, which is the derivative of an
/// expectation on S² and lacks the acceptance's own elsewhere. A row depends on its own numbers only; but outside S² how many
/// numbers a call takes depends on all rows, so give it a stream of its own.
Tensor vmf_sample(const Tensor& mean, const Tensor& kappa, Rng& rng);

}  // namespace gibbsite
