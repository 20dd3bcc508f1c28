#include <gibbsite/model/closed_form_energy.h>
#include <torch/types.h>

#include <algorithm>

namespace gibbsite {

NormalEquations ClosedFormEnergy::gather(const Tensor& x, const FitProblem& problem, Rng& rng,
                                         std::int64_t chunk) const {
  const torch::NoGradGuard no_grad;
  NormalEquations sum;
  for (std::int64_t first = 0; first < x.size(0); first += chunk) {
    const std::int64_t rows = std::min(chunk, x.size(0) - first);
    Rng own = rng.at_row(rng.first_row() + first);
    const NormalEquations part = normal_equations(x.narrow(0, first, rows), problem, own);
    const double share = static_cast<double>(rows) / static_cast<double>(x.size(0));
    sum.gram = sum.gram.defined() ? sum.gram.add_(part.gram, share) : part.gram * share;
    sum.target = sum.target.defined() ? sum.target.add_(part.target, share) : part.target * share;
  }
  return sum;
}

void ClosedFormEnergy::refit(const Tensor& x, const FitProblem& problem, Rng& rng, std::int64_t chunk) {
  const torch::NoGradGuard no_grad;
  use(solve(gather(x, problem, rng, chunk)));
}

}  // namespace gibbsite
