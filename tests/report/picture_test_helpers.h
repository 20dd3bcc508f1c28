// Reads back the pictures that the tests write.
#pragma once

#include <gibbsite/core/tensor.h>

#include <string>

namespace gibbsite {

/// uint8 [H, W, C] of a PNG file in memory, C = 1 or 3, by libpng's simplified reader.
Tensor decode_png(const std::string& bytes);

/// A folder of this process that the caller may fill: $GIBBSITE_TEST_PICTURES where set (pictures stay for inspection),
/// else a temporary one.
std::string picture_folder();

}  // namespace gibbsite
