// MATLAB's files of Level 5 (versions 5 to 7): the numeric arrays, plain and compressed.
#pragma once

#include <gibbsite/core/tensor.h>

#include <string>

namespace gibbsite {

/// Real arrays of numbers under their names, in file order, with MATLAB's sizes: bytes as uint8, other integers as int64, single
/// and double as they are. Cells, structures, text, sparse and complex arrays are passed over. Throws WorkError in one line for a
/// missing, foreign, truncated or damaged file, for one without numeric arrays, and for Level 7.3, which is HDF5.
NamedTensors read_mat(const std::string& path);
/// The same from memory; `where` names it in errors. Memory grows with what the file really holds, whatever it claims.
NamedTensors parse_mat(const std::string& content, const std::string& where);

}  // namespace gibbsite
