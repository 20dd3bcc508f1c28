#include "fuzz.h"

#include <gibbsite/data/image_file.h>

// Writes the checksums of the chunks, so that what was changed is looked at.
void read_bytes(const std::string& bytes) {
  std::string file = bytes;
  for (std::size_t at = 8; at + 12 <= file.size();) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<unsigned char>(file[at + i]);
    if (length > file.size() - at - 12) break;
    const std::uint32_t crc = crc_of(file, at + 4, length + 4);
    for (std::size_t i = 0; i < 4; ++i) file[at + 8 + length + i] = static_cast<char>(crc >> (24 - 8 * i));
    at += 12 + length;
  }
  gibbsite::decode_image(file, "file");
}
// A pixel of one bit becomes one of three bytes, twice.
std::size_t most_bytes(std::size_t size) { return kSlack + 64 * kMostDeflated * size; }
