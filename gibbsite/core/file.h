// Files that are either there in full or not there at all.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace gibbsite {

/// Writes `bytes` under a temporary name beside `path`, flushes them to the disk and renames. Missing folders are made.
/// Throws WorkError naming the path and the reason (no permission, disk full); the old file, if any, is then untouched.
void write_file(const std::string& path, std::string_view bytes);

/// The whole file. Throws WorkError naming the path and the reason.
std::string read_file(const std::string& path);

/// The folder is this caller's until what is returned is gone; the kernel gives it back with the process, whatever ends that.
/// Where another caller has it, waits, or returns null if it is not to wait. A file system without locks goes without.
/// Throws WorkError where the folder cannot be opened.
std::shared_ptr<void> lock_folder(const std::string& folder, bool wait);

}  // namespace gibbsite
