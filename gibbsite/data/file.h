// Whole files in and out, with failures in one line.
#pragma once

#include <string>

namespace gibbsite {

/// Throws WorkError for a missing or unreadable file.
std::string read_file(const std::string& path);

/// read_file, decompressed where the content is gzip. Memory grows with what was read, at most `limit` bytes. Throws
/// WorkError for a truncated or damaged stream and for more than `limit` bytes.
std::string read_maybe_gzip(const std::string& path, std::size_t limit = static_cast<std::size_t>(-1));

/// Writes a temporary file beside `path` and renames it, so that `path` holds the old or the new content and nothing
/// between. Throws WorkError with the system's reason.
void write_file(const std::string& path, const std::string& content);

}  // namespace gibbsite
