#include <gibbsite/metric/fisher_divergence.h>
#include <gibbsite/objective/fisher_critic.h>
#include <torch/types.h>

#include <algorithm>

namespace gibbsite {
namespace {

constexpr std::int64_t kRows = 500;  // per evaluation

// The terms of all rows, float64 on the CPU.
CriticTerms all_terms(const ScoreNetwork& critic, const PointScore& score, const Tensor& points,
                      std::int64_t projections, const Rng& rng) {
  const torch::NoGradGuard no_grad;
  std::vector<Tensor> linear, square;
  for (std::int64_t first = 0; first < points.size(0); first += kRows) {
    const Tensor v = points.narrow(0, first, std::min(kRows, points.size(0) - first));
    Rng own = rng.at_row(first);
    const Tensor s = score(v, own);
    std::vector<Tensor> directions;
    for (std::int64_t p = 0; p < projections; ++p) directions.push_back(own.rademacher(v.sizes(), v));
    const CriticTerms terms = critic_terms(critic, v, s, at::stack(directions));
    linear.push_back(terms.linear.to(at::kCPU, at::kDouble));
    square.push_back(terms.square.to(at::kCPU, at::kDouble));
  }
  return {at::cat(linear), at::cat(square)};
}

Tensor with_one(const Tensor& points) {
  return at::cat({points.to(at::kDouble), torch::ones({points.size(0), 1}, points.options().dtype(at::kDouble))}, 1);
}

}  // namespace

Estimate fisher_divergence(const Tensor& score_of_data, const Tensor& score_of_model) {
  return mean_estimate(0.5 * sum_event((score_of_data - score_of_model).to(at::kDouble).square()));
}

CriticDivergence critic_divergence(const ScoreNetwork& critic, const PointScore& score, const Tensor& validation,
                                   const Tensor& test, std::int64_t projections, const Rng& rng) {
  const CriticTerms held_out = all_terms(critic, score, validation, projections, rng.stream("validation"));
  const CriticTerms judged = all_terms(critic, score, test, projections, rng.stream("test"));
  CriticDivergence made;
  made.scale = (held_out.linear.mean() / held_out.square.mean().clamp_min(1e-300)).item<double>();
  made.value = mean_estimate(made.scale * judged.linear - 0.5 * made.scale * made.scale * judged.square);
  return made;
}

Estimate affine_divergence(const ScoreDifference& fitted, const ScoreDifference& judged) {
  const Tensor x = with_one(fitted.points), y = fitted.difference.to(at::kDouble);
  const Tensor factor = at::linalg_cholesky(x.t().matmul(x));
  const Tensor coefficients = at::cholesky_solve(x.t().matmul(y), factor);
  const Tensor truth = judged.difference.to(at::kDouble);
  const Tensor residual = truth - with_one(judged.points).matmul(coefficients);
  return mean_estimate(0.5 * (sum_event(truth.square()) - sum_event(residual.square())));
}

}  // namespace gibbsite
