// The IDX layout of the MNIST files: two zero bytes, a type byte, the number of dimensions, big-endian 32-bit sizes, then
// the values, last index fastest.
#pragma once

#include <gibbsite/core/tensor.h>

#include <string>

namespace gibbsite {

/// Reads a plain or gzip-compressed file (told apart by content): bytes as kByte, other types as their own dtype. Throws
/// WorkError in one line for a missing file, a wrong magic number, sizes larger or smaller than the file, or a truncated
/// or damaged gzip stream; never allocates more than the file holds.
Tensor read_idx(const std::string& path);

/// The same from memory, uncompressed; `where` names it in errors.
Tensor parse_idx(const std::string& content, const std::string& where);

}  // namespace gibbsite
