// PNG and JPEG files as tensors.
#pragma once

#include <gibbsite/core/tensor.h>

#include <string>

namespace gibbsite {

/// Whether the name ends in .png, .jpg or .jpeg, in any case.
bool is_image_file(const std::string& path);

/// [1 or 3, height, width] bytes: one channel for grey images. Sixteen bits become eight, transparency turns black. Throws
/// WorkError naming the file where it is missing, truncated or neither PNG nor JPEG.
Tensor read_image(const std::string& path);

}  // namespace gibbsite
