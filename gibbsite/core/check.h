// Checks named by the property they enforce. Each throws RequestError or WorkError with one line naming what and where.
#pragma once

#include <gibbsite/core/tensor.h>

#include <string>

namespace gibbsite {

/// Throws WorkError unless every element is finite; names the first offending row.
void check_finite(const std::string& where, const std::string& name, const Tensor& x);

/// Throws WorkError unless x has sizes [B, *event].
void check_event(const std::string& where, const std::string& name, const Tensor& x, const Shape& event);

/// Throws WorkError unless x is [B] for the batch of `like`.
void check_per_example(const std::string& where, const std::string& name, const Tensor& x, const Tensor& like);

/// Throws RequestError unless value > 0.
void check_positive(const std::string& where, const std::string& name, double value);

/// "[2, 3]".
std::string format_shape(at::IntArrayRef sizes);

}  // namespace gibbsite
