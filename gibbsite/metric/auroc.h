// Area under the receiver operating characteristic, P(positive > negative) + P(equal) / 2, and the three scores that
// decide whether a point is out of distribution.
#pragma once

#include <gibbsite/core/tensor.h>
#include <gibbsite/metric/estimate.h>

#include <string>

namespace gibbsite {

/// positive: [N], negative: [M]. Mid-ranks for ties; the standard error is that of DeLong, DeLong and Clarke-Pearson
/// (1988); perfect separation, where that is zero, gets 1 / (min(N, M) + 2), about the posterior deviation of a share after
/// as many successes.
/// Throws WorkError on an empty side or a NaN.
Estimate auroc(const Tensor& positive, const Tensor& negative);

/// What a model says about every point of a set.
struct ScoredPoints {
  Tensor energy;         ///< [N] float64
  Tensor gradient_norm;  ///< [N] float64, ||grad log p||
};

/// x: [N, *event].
ScoredPoints score_points(const EnergyFn& energy, const Tensor& x, std::int64_t chunk = 1024);

/// kLogDensity: in-distribution positive, ranked by -energy. kGradientNorm: in-distribution positive, ranked by
/// -||grad log p||. kTypicality: out-of-distribution positive, ranked by |energy - mean training energy|.
enum class DetectionScore { kLogDensity, kGradientNorm, kTypicality };

/// "log_density", "gradient_norm", "typicality": the `score` key of result rows.
std::string detection_score_name(DetectionScore score);

/// `training_energy` is the mean energy of the training set, needed by kTypicality only.
Estimate detection_auroc(DetectionScore score, const ScoredPoints& in, const ScoredPoints& out,
                         double training_energy = 0);

}  // namespace gibbsite
