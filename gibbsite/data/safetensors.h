// safetensors, a file of named tensors that holds numbers and can never run code. Little-endian:
//
//   8 bytes   N, the length of the header
//   N bytes   JSON {"name": {"dtype": "F32", "shape": […], "data_offsets": [begin, end]}, …, "__metadata__": {text: text}}
//   the rest  the tensors, row-major, side by side in the order of their offsets, without holes
#pragma once

#include <gibbsite/core/tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace gibbsite {

struct Safetensors {
  NamedTensors tensors;  ///< in the order of their data
  std::vector<std::pair<std::string, std::string>> metadata;
};

/// Throws WorkError for a type that the format has not, a name that is there twice, or a file that cannot be written in full.
void write_safetensors(const std::string& path, const Safetensors& content);

/// Lengths, offsets and sizes are checked against the file before anything is allocated. Throws WorkError in one line for
/// a file that is missing, damaged, or has other types than f8 f4 f2 bf16, i8 i4 i2 i1, u1 and bool.
Safetensors read_safetensors(const std::string& path);
/// The same from memory; `where` names it in errors.
Safetensors parse_safetensors(const std::string& bytes, const std::string& where);

}  // namespace gibbsite
