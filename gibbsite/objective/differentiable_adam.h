// Adam (Kingma and Ba 2015, Algorithm 1) as a function, for objectives that are differentiated through updates of a copy of a
// part.
#pragma once

#include <gibbsite/core/tensor.h>

#include <cstdint>
#include <vector>

namespace gibbsite {

/// Adam as it stands between two updates of a part.
struct AdamState {
  double learning_rate = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  std::int64_t steps = 0;            ///< updates made
  std::vector<Tensor> mean, square;  ///< in the order of the part's parameters
};

/// The parameters after one more update, and in `state` what Adam remembers of it. The graph of everything is kept, and where
/// a mean square is 0 its root has derivative 0 and not infinity. The moments that `state` came with are not written to.
std::vector<Tensor> adam_step(AdamState& state, const std::vector<Tensor>& parameters,
                              const std::vector<Tensor>& gradients);

}  // namespace gibbsite
