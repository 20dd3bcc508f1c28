// PNG and JPEG files as tensors.
#pragma once

#include <gibbsite/core/tensor.h>

#include <string>

namespace gibbsite {

/// Whether the name ends in .png, .jpg or .jpeg, in any case.
bool is_image_file(const std::string& path);

/// [1 or 3, height, width] bytes: one channel for grey images. Sixteen bits become eight, transparency turns black. Throws
/// WorkError naming the file where it is missing, truncated, neither PNG nor JPEG, or claims more pixels than so many bytes
/// can hold, before memory is taken for them.
Tensor read_image(const std::string& path);
/// The same from memory; `where` names it in errors.
Tensor decode_image(const std::string& content, const std::string& where);

}  // namespace gibbsite
