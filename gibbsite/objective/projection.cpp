#include <gibbsite/objective/projection.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {

FiniteDifference StepOptions::at(double progress) const {
  FiniteDifference difference;
  difference.epsilon = epsilon;
  if (epsilon_schedule == "geometric") difference.epsilon *= std::pow(epsilon_final / epsilon, progress);
  difference.batched = batched;
  return difference;
}

namespace {

// A pair of normals is 0 once in 2^24. Such a row keeps its zeros, a direction along which nothing changes, and makes no NaN.
Tensor positive_norm(const Tensor& v) { return v.flatten(1).norm(2, 1).clamp_min(1e-30); }

}  // namespace

Tensor ProjectionOptions::draw(const Tensor& x, Rng& rng) const {
  if (projection == "rademacher") return rng.rademacher(x.sizes(), x);
  const Tensor g = rng.normal(x.sizes(), x);
  if (projection == "gaussian") return g;
  return scale_rows(g, std::sqrt(static_cast<double>(x[0].numel())) / positive_norm(g));
}

Displacement displacement(const Tensor& v, double epsilon) {
  const Tensor norm = positive_norm(v);
  return {scale_rows(v, epsilon / norm), norm / epsilon};
}

}  // namespace gibbsite
