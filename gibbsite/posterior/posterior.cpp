#include <gibbsite/core/error.h>
#include <gibbsite/posterior/posterior.h>
#include <torch/types.h>

namespace gibbsite {

Tensor Posterior::log_prob(const Tensor&, const Tensor&) const {
  throw RequestError("posterior", "its density has no formula", "a Gaussian posterior has one");
}

}  // namespace gibbsite
