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

Tensor ProjectionOptions::draw(const Tensor& x, Rng& rng) const {
  if (projection == "rademacher") return rng.rademacher(x.sizes(), x);
  const Tensor g = rng.normal(x.sizes(), x);
  if (projection == "gaussian") return g;
  return scale_rows(g, std::sqrt(static_cast<double>(x[0].numel())) / g.flatten(1).norm(2, 1));
}

Displacement displacement(const Tensor& v, double epsilon) {
  const Tensor norm = v.flatten(1).norm(2, 1);
  return {scale_rows(v, epsilon / norm), norm / epsilon};
}

}  // namespace gibbsite
