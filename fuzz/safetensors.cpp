#include "fuzz.h"

#include <gibbsite/data/safetensors.h>

// The first byte says whether the length of the header is made to fit.
void read_bytes(const std::string& bytes) {
  if (bytes.empty()) return;
  std::string file = bytes.substr(1);
  if (bytes[0] % 2 == 1 && file.size() >= 8)
    for (std::size_t i = 2; i < 8; ++i) file[i] = 0;
  gibbsite::parse_safetensors(file, "file");
}
// Every two characters of JSON may be a value of its own.
std::size_t most_bytes(std::size_t size) { return kSlack + 200 * size; }
