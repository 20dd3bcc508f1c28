#include <gibbsite/objective/differentiable_adam.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

Tensor guarded_root(const Tensor& x) {
  const Tensor zero = x.detach().eq(0);
  return x.masked_fill(zero, 1).sqrt().masked_fill(zero, 0);
}

}  // namespace

std::vector<Tensor> adam_step(AdamState& state, const std::vector<Tensor>& parameters,
                              const std::vector<Tensor>& gradients) {
  const auto count = static_cast<double>(++state.steps);
  const double step_size = state.learning_rate / (1 - std::pow(state.beta1, count));
  const double inverse_root_correction = 1 / std::sqrt(1 - std::pow(state.beta2, count));
  std::vector<Tensor> updated;
  updated.reserve(parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const Tensor& g = gradients[i];
    state.mean[i] = state.beta1 * state.mean[i] + (1 - state.beta1) * g;
    state.square[i] = state.beta2 * state.square[i] + (1 - state.beta2) * g.square();
    const Tensor root = guarded_root(state.square[i]) * inverse_root_correction + state.epsilon;
    updated.push_back(parameters[i] - step_size * state.mean[i] / root);
  }
  return updated;
}

}  // namespace gibbsite
