#include "fuzz.h"

#include <gibbsite/data/npy.h>

namespace {

std::size_t little(const std::string& bytes, std::size_t at, int count) {
  std::size_t value = 0;
  for (int i = 0; i < count; ++i)
    value |= std::size_t{static_cast<unsigned char>(bytes[at + static_cast<std::size_t>(i)])} << (8 * i);
  return value;
}

}  // namespace

// Writes the checksums of the content into the directory, so that what was changed is looked at.
void read_bytes(const std::string& bytes) {
  std::string file = bytes;
  for (std::size_t at = file.find("PK\x01\x02"); at != std::string::npos; at = file.find("PK\x01\x02", at + 1)) {
    if (file.size() - at < 46) break;
    const std::size_t size = little(file, at + 20, 4), local = little(file, at + 42, 4);
    if (local > file.size() || file.size() - local < 30) continue;
    const std::size_t begin = local + 30 + little(file, local + 26, 2) + little(file, local + 28, 2);
    if (begin > file.size() || file.size() - begin < size) continue;
    const std::uint32_t crc = crc_of(file, begin, size);
    for (int i = 0; i < 4; ++i) file[at + 16 + static_cast<std::size_t>(i)] = static_cast<char>(crc >> (8 * i));
  }
  gibbsite::parse_npz(file, "file");
}
std::size_t most_bytes(std::size_t size) { return kSlack + 64 * size; }
