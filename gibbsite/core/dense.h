// The size of arrays that files claim to hold.
#pragma once

#include <gibbsite/core/tensor.h>

#include <cstdint>
#include <optional>

namespace gibbsite {

/// Bytes of a row-major array of these sizes and `element` bytes a number; nothing where a size is negative, or where the sizes
/// other than 0 do not multiply to a number below 2^62, which no file holds and LibTorch's strides would not survive.
std::optional<std::uint64_t> dense_bytes(const Shape& sizes, std::size_t element);

}  // namespace gibbsite
