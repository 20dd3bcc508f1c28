#include <gibbsite/objective/differentiable_adam.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// What one update of Adam computes with besides tensors: parameter <- parameter - step_size · mean/(√square + epsilon), which
// is the rule with its corrections multiplied out.
struct Rates {
  double beta1, beta2, step_size, epsilon;
};

Rates rates_of(const AdamState& state) {
  const auto count = static_cast<double>(state.steps);
  const double root_correction = std::sqrt(1 - std::pow(state.beta2, count));
  return {state.beta1, state.beta2, state.learning_rate * root_correction / (1 - std::pow(state.beta1, count)),
          state.epsilon * root_correction};
}

// (parameter, mean, square, gradient) -> (parameter, mean, square) after the update. Its reverse pass is made of operations on
// what went in and came out, and so has a reverse pass too.
struct Update : Function<Update> {
  static variable_list forward(AutogradContext* ctx, const Tensor& parameter, const Tensor& mean, const Tensor& square,
                               const Tensor& gradient, const Rates& rates) {
    const Tensor next_mean = at::lerp(mean, gradient, 1 - rates.beta1);
    const Tensor next_square = at::lerp(square, gradient * gradient, 1 - rates.beta2);
    ctx->save_for_backward({gradient, next_mean, next_square});
    ctx->saved_data["rates"] = std::vector<double>{rates.beta1, rates.beta2, rates.step_size, rates.epsilon};
    const Tensor divisor = next_square.sqrt().add_(rates.epsilon);
    return {at::addcdiv(parameter, next_mean, divisor, -rates.step_size), next_mean, next_square};
  }

  static variable_list backward(AutogradContext* ctx, variable_list seeds) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &gradient = saved[0], &mean = saved[1], &square = saved[2];
    const std::vector<double> kept = ctx->saved_data["rates"].toDoubleVector();
    const Rates rates{kept[0], kept[1], kept[2], kept[3]};
    // The root of square has derivative 0 at 0.
    const Tensor root = square.sqrt(), inverse = root.reciprocal().masked_fill_(square.eq(0), 0);
    const Tensor divisor = root + rates.epsilon, quotient = seeds[0] / divisor;
    const Tensor of_mean = at::add(seeds[1], quotient, -rates.step_size);
    const Tensor of_square = at::addcmul(seeds[2], quotient * mean / divisor, inverse, 0.5 * rates.step_size);
    const Tensor of_gradient = at::addcmul(of_mean * (1 - rates.beta1), of_square, gradient, 2 * (1 - rates.beta2));
    return {seeds[0], of_mean * rates.beta1, of_square * rates.beta2, of_gradient, Tensor()};
  }
};

}  // namespace

std::vector<Tensor> adam_step(AdamState& state, const std::vector<Tensor>& parameters,
                              const std::vector<Tensor>& gradients) {
  ++state.steps;
  const Rates rates = rates_of(state);
  std::vector<Tensor> updated;
  updated.reserve(parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const variable_list next = Update::apply(parameters[i], state.mean[i], state.square[i], gradients[i], rates);
    updated.push_back(next[0]);
    state.mean[i] = next[1];
    state.square[i] = next[2];
  }
  return updated;
}

}  // namespace gibbsite
