// NumPy's array files: .npy (versions 1 and 2) and .npz (an uncompressed zip of them).
#pragma once

#include <gibbsite/core/tensor.h>

#include <string>

namespace gibbsite {

/// Little-endian f4, f8, u1, i4, i8 and bool, in C or Fortran order. Throws WorkError in one line for a missing, foreign
/// or truncated file, another type, or bytes after the array.
Tensor read_npy(const std::string& path);
/// The same from memory; `where` names it in errors.
Tensor parse_npy(const std::string& content, const std::string& where);

/// Throws WorkError where the file cannot be written in full; the target then keeps its old content.
void write_npy(const std::string& path, const Tensor& x);

/// One array for each name. Throws as write_npy, and where an array exceeds the 4 GiB of the plain zip format.
void write_npz(const std::string& path, const NamedTensors& arrays);

/// The arrays of an uncompressed .npz file in file order. Throws WorkError as read_npy and for compressed entries.
NamedTensors read_npz(const std::string& path);
NamedTensors parse_npz(const std::string& content, const std::string& where);

}  // namespace gibbsite
