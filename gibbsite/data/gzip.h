// Files that may be compressed.
#pragma once

#include <string>

namespace gibbsite {

/// The whole file, decompressed where its content is gzip. Memory grows with what was read. Throws WorkError for a
/// missing file and for a truncated or damaged stream.
std::string read_maybe_gzip(const std::string& path);

/// The content of a gzip or zlib stream of one or more members; `where` names it in errors.
std::string gunzip(const std::string& content, const std::string& where);

}  // namespace gibbsite
