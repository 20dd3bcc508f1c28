// Activations with every derivative they need, fast and differentiable to any order.
//
// The forward pass, the reverse pass and the reverse pass of jets of order <= 2 are single passes over memory that save
// only the pre-activation. When autograd asks for a graph of a backward, the same functions are applied as differentiable
// ones, so that no derivative is ever lost.
#pragma once

#include <gibbsite/calculus/jet.h>
#include <gibbsite/core/options.h>
#include <gibbsite/core/tensor.h>

#include <string>

namespace gibbsite {

enum class Activation { kIdentity, kSilu, kSoftplus, kNormalisedSoftplus, kTanh, kSigmoid, kElu, kRelu, kLeakyRelu };

/// Names as recipes write them: identity, silu, softplus, normalised_softplus (softplus(z) - log 2), tanh, sigmoid, elu,
/// relu, leaky_relu (slope 0.2).
const Choices& activation_names();
/// Throws RequestError for an unknown name.
Activation activation_from_name(const std::string& name);
std::string activation_name(Activation kind);

/// f(z), elementwise.
Tensor activate(Activation kind, const Tensor& z);
/// f of a jet; ReLU kinds are refused (WorkError), their second derivative is no function.
Jet activate(Activation kind, const Jet& z);
/// f(z) by LibTorch's own operations, the baseline of the benchmarks.
Tensor activate_stock(Activation kind, const Tensor& z);

}  // namespace gibbsite
