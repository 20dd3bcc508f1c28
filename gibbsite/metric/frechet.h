// Fréchet distance of the Gaussians with the moments of two samples of features,
//
//   ‖m_a − m_b‖² + tr(A + B − 2 (A^½ B A^½)^½)                      (Dowson and Landau 1982; Heusel et al. 2017)
//
// in float64. The features here come from a classifier of this project, so its numbers compare with each other and never
// with published ones, which are of Inception features.
#pragma once

#include <gibbsite/core/tensor.h>
#include <gibbsite/metric/estimate.h>

namespace gibbsite {

/// Of two Gaussians: means [d], covariances [d, d] symmetric. Roots are taken by symmetric eigendecomposition, where
/// eigenvalues below zero, which rounding makes of zeros, count as zero.
double gaussian_frechet_distance(const Tensor& mean_a, const Tensor& covariance_a, const Tensor& mean_b,
                                 const Tensor& covariance_b);

/// Of the samples a [N, d] and b [M, d], N and M at least 2, rows independent; covariances are unbiased. Fewer rows than
/// features are allowed. The estimate lies above the distance of the laws by a bias of order 1/N + 1/M: compare only equal
/// sizes. Standard error by a jackknife that leaves out every groups-th row of one sample at a time. Throws WorkError for
/// other shapes and for values that are not finite.
Estimate frechet_distance(const Tensor& a, const Tensor& b, std::int64_t groups = 20);

}  // namespace gibbsite
