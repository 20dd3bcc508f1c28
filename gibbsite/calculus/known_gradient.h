// Values whose gradient was found by formula: one node of the graph in place of the operations that it stands for.
#pragma once

#include <gibbsite/core/tensor.h>

#include <functional>
#include <vector>

namespace gibbsite {

/// The gradients, like the inputs, of Σ seed·value, from a seed like the value.
using KnownPullback = std::function<std::vector<Tensor>(const Tensor& seed)>;

/// `value` with a gradient by formula in `inputs`, of which those that want none are left out. It is differentiated once: asking
/// for a graph of its gradient throws WorkError.
Tensor known_gradient(const Tensor& value, const std::vector<Tensor>& inputs, KnownPullback pullback);
/// The same for a 0-dim value whose gradients are at hand.
Tensor known_gradient(const Tensor& value, const std::vector<Tensor>& inputs, std::vector<Tensor> gradients);

/// The 0-dim `value` with the gradient of the 0-dim `surrogate`, of any order.
Tensor with_gradient_of(const Tensor& surrogate, const Tensor& value);

}  // namespace gibbsite
