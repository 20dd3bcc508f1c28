// What denoising objectives ask of an energy, where it has a faster way than through its score's graph.
#pragma once

#include <gibbsite/core/tensor.h>

#include <optional>

namespace gibbsite {

class FitsScore {
 public:
  virtual ~FitsScore() = default;
  /// Σ_b weight_b ½‖score(x_b) - target_b‖², 0-dim, with its gradient in the parameters, which has no graph of its own. x,
  /// target: [B, *event], weight: [B]. Nothing where there is no such way for these numbers.
  virtual std::optional<Tensor> score_distance(const Tensor& x, const Tensor& target, const Tensor& weight) const = 0;
};

}  // namespace gibbsite
