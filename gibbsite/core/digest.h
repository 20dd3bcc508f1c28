// Fingerprints of files that results depend on.
#pragma once

#include <string>
#include <string_view>

namespace gibbsite {

/// SHA-256, 32 bytes.
std::string sha256(std::string_view bytes);

/// SHA-256 of the content of a file, 64 hexadecimal digits. Throws WorkError where it cannot be read.
std::string sha256_of_file(const std::string& path);

}  // namespace gibbsite
