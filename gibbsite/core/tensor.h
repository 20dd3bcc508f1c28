// The one door to LibTorch in public headers. It declares the Tensor class and forward-declares modules; sources that
// create tensors include <torch/types.h> (precompiled) themselves.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace torch::nn {
class Module;
}

namespace gibbsite {

using at::Tensor;
using Shape = std::vector<std::int64_t>;
/// What a part stores in a checkpoint, in a fixed order.
using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

/// Unnormalised log density up to sign: [B, *event] -> [B].
using EnergyFn = std::function<Tensor(const Tensor& x)>;

/// Sum over every dimension but the first: [B, *event] -> [B].
Tensor sum_event(const Tensor& x);

/// Multiplies row b of x ([B, *event]) by weight[b] ([B]).
Tensor scale_rows(const Tensor& x, const Tensor& weight);

/// Product of the sizes of one event.
std::int64_t event_size(const Shape& event);

/// The sizes of x without its first dimension.
Shape event_shape(const Tensor& x);

}  // namespace gibbsite
