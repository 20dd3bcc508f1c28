// Files that are either there in full or not there at all.
#pragma once

#include <string>
#include <string_view>

namespace gibbsite {

/// Writes `bytes` under a temporary name beside `path`, flushes them to the disk and renames. Missing folders are made.
/// Throws WorkError naming the path and the reason (no permission, disk full); the old file, if any, is then untouched.
void write_file(const std::string& path, std::string_view bytes);

/// The whole file. Throws WorkError naming the path and the reason.
std::string read_file(const std::string& path);

}  // namespace gibbsite
