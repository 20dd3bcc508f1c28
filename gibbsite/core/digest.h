// Fingerprints of files that results depend on.
#pragma once

#include <string>

namespace gibbsite {

/// SHA-256 of the content of a file, 64 hexadecimal digits. Throws WorkError where it cannot be read.
std::string sha256_of_file(const std::string& path);

}  // namespace gibbsite
