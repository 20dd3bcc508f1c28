#include "fuzz.h"

#include <gibbsite/train/checkpoint.h>

#include <algorithm>

namespace {

template <class T>
void put(std::string& file, std::size_t at, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) file[at + i] = static_cast<char>(value >> (8 * i));
}

}  // namespace

// The first byte says whether sizes and checksums are made right, so that the header behind them is looked at.
void read_bytes(const std::string& bytes) {
  constexpr std::size_t kPreamble = 40;
  if (bytes.empty()) return;
  std::string file = bytes.substr(1);
  if (bytes[0] % 2 == 1 && file.size() >= kPreamble) {
    const std::size_t room = file.size() - kPreamble;
    std::size_t header = static_cast<unsigned char>(file[16]) | std::size_t{static_cast<unsigned char>(file[17])} << 8;
    header = std::min(header, room);
    put<std::uint64_t>(file, 16, header);
    put<std::uint64_t>(file, 24, room - header);
    put<std::uint32_t>(file, 32, crc_of(file, kPreamble + header, room - header));
    put<std::uint32_t>(file, 12, crc_of(file, 16, kPreamble - 16 + header));
  }
  gibbsite::read_checkpoint(as_file(file));
}
// Every two characters of JSON may be a value of its own.
std::size_t most_bytes(std::size_t size) { return kSlack + 200 * size; }
