// Targets with known laws, and the comparison of chains with them.
#pragma once

#include <gibbsite/sampler/kernel.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <string>

namespace gibbsite::testing {

inline const torch::TensorOptions kFloat64 = torch::TensorOptions().dtype(torch::kDouble);

/// A positive definite matrix with strong correlations and condition number of about ten.
inline Tensor precision_matrix(std::int64_t d) {
  const Tensor factor = Rng(17, "precision").normal({d, d}, torch::kDouble).mul_(0.4);
  return factor.mm(factor.t()) + 0.5 * torch::eye(d, kFloat64);
}

/// E(x) = ½ (x − mean)ᵀ A (x − mean), by autograd only.
inline Target gaussian(const Tensor& precision, const Tensor& mean) {
  Target target;
  target.energy = [=](const Tensor& x) { return ((x - mean).mm(precision) * (x - mean)).sum(1) * 0.5; };
  return target;
}

/// A coupled quartic whose energy is elementwise arithmetic, so that rows never meet in a matrix product. [B, D], D ≥ 2.
inline Target quartic() {
  Target target;
  target.energy = [](const Tensor& x) {
    const Tensor coupling = (x.slice(1, 0, -1) * x.slice(1, 1)).sum(1);
    return (x.pow(4) * 0.25 + x.square() * 0.5).sum(1) + coupling * 0.3;
  };
  return target;
}

/// Mean and covariance of independent rows against the truth, each entry within `errors` standard errors estimated from
/// the rows.
inline void expect_moments(const Tensor& x, const Tensor& mean, const Tensor& covariance, const std::string& what,
                           double errors = 4) {
  const double n = static_cast<double>(x.size(0));
  const Tensor centred = x - mean;
  const Tensor mean_error = (centred.mean(0) / (x.std(0) / std::sqrt(n))).abs();
  EXPECT_LT(mean_error.max().item<double>(), errors) << what << " mean\n" << x.mean(0);
  const Tensor products = centred.unsqueeze(2) * centred.unsqueeze(1);
  const Tensor covariance_error = ((products.mean(0) - covariance) / (products.std(0) / std::sqrt(n))).abs();
  EXPECT_LT(covariance_error.max().item<double>(), errors) << what << " covariance\n" << products.mean(0);
}

}  // namespace gibbsite::testing
