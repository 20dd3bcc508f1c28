// ½ E ‖∇log p_data - ∇log p‖² over the data: from both scores, or from below by a trained critic (VaGES, Eq. 22).
#pragma once

#include <gibbsite/core/random.h>
#include <gibbsite/metric/estimate.h>
#include <gibbsite/model/score.h>

#include <functional>

namespace gibbsite {

/// Both scores at the same points, [N, *event].
Estimate fisher_divergence(const Tensor& score_of_data, const Tensor& score_of_model);

/// The score of the model at rows of points, or an estimate of it without bias.
using PointScore = std::function<Tensor(const Tensor& v, Rng& rng)>;

struct CriticDivergence {
  Estimate value;
  double scale = 1;  ///< what the critic was multiplied by
};

/// E[s·f + ∇·f - ½‖f‖²] on `test`, at most the divergence in expectation. f is `scale` times the critic, with the scale that
/// is best on `validation`: a critic that has learnt nothing but its training rows is thereby taken to 0 and no bound falls
/// far below 0. ∇·f from `projections` Rademacher directions per row. The validation and the test rows draw from
/// rng.stream("validation") and rng.stream("test").
CriticDivergence critic_divergence(const ScoreNetwork& critic, const PointScore& score, const Tensor& validation,
                                   const Tensor& test, std::int64_t projections, const Rng& rng);

/// What the best affine critic gives: the difference of the scores regressed on the points of one set, judged on another.
struct ScoreDifference {
  Tensor points;      ///< [N, d]
  Tensor difference;  ///< [N, d], s - ∇log p_data
};
Estimate affine_divergence(const ScoreDifference& fitted, const ScoreDifference& judged);

}  // namespace gibbsite
