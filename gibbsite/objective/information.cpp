#include <gibbsite/core/error.h>
#include <gibbsite/objective/information.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {

Tensor information_bound(const ExponentialFamily& family, const Tensor& natural) {
  const std::int64_t n = natural.size(0);
  if (n < 2) throw RequestError("information", "needs a batch of two points or more");
  const Tensor half = 0.5 * family.log_normaliser(natural);
  const Tensor between = family.log_normaliser(0.5 * (natural.unsqueeze(0) + natural.unsqueeze(1)));
  const Tensor log_overlap = between - half.unsqueeze(0) - half.unsqueeze(1);
  return std::log(static_cast<double>(n)) - log_overlap.logsumexp(1).mean();
}

Tensor information_bound(const ConjugateEnergy& model, const Tensor& x) {
  return information_bound(model.family(), model.representative_parameters(x));
}

}  // namespace gibbsite
