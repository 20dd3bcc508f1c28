// The score of a law known by samples alone, by kernels (protocol sheet 4.7). With K_ij = exp(-‖x_i - x_j‖² / (2 w²)), w the
// median of all pairwise distances, and R_i = Σ_j ∂K_ij/∂x_j,
//
//   stein     -(K + η I)⁻¹ R                 (Li and Turner 2018)
//   spectral  -Σ_j u_j (u_jᵀ R) / λ_j        (Shi, Sun and Zhu 2018, at the samples themselves)
//
// where λ_j, u_j are the leading eigenpairs of K, as many as keep the share of the eigenvalues' sum below a bound.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/core/registry.h>
#include <gibbsite/core/tensor.h>

#include <functional>
#include <memory>

namespace gibbsite {

class ScoreEstimator {
 public:
  virtual ~ScoreEstimator() = default;
  /// grad log q at samples of q, [..., M, d] -> the same, detached. Each group of M samples is a law of its own.
  virtual Tensor at(const Tensor& samples) const = 0;
};

using MakeScoreEstimator = std::function<std::unique_ptr<ScoreEstimator>(const Config& options)>;
const Table<MakeScoreEstimator>& score_estimator_table();

struct SteinEstimatorOptions {
  double ridge = 1e-3;
  void declare(OptionVisitor& o) {
    o.option("ridge", ridge, "η, added to the diagonal of the kernel matrix", positive());
  }
};
std::unique_ptr<ScoreEstimator> make_stein_estimator(const SteinEstimatorOptions& options);

struct SpectralEstimatorOptions {
  double share = 0.99;
  std::int64_t eigenvectors = 0;
  void declare(OptionVisitor& o) {
    o.option("eigenvectors", eigenvectors, "leading eigenvectors kept; 0: as `share` says", at_least(0));
    o.only_if(eigenvectors == 0)
        .option("share", share, "the cumulative share of the eigenvalues stays below; at least one is kept",
                Range{0, 1, true, false});
  }
};
std::unique_ptr<ScoreEstimator> make_spectral_estimator(const SpectralEstimatorOptions& options);

/// The middle of all M² pairwise distances of a group, the zeros of the diagonal among them: the k-th largest, k = ⌊M²/2⌋.
/// squared_distances: [..., M, M] -> [...].
Tensor median_distance(const Tensor& squared_distances);

}  // namespace gibbsite
