#include "fuzz.h"

#include <gibbsite/data/csv.h>

// The first byte says whether a column is the label.
void read_bytes(const std::string& bytes) {
  if (bytes.empty()) return;
  gibbsite::parse_csv(bytes.substr(1), "file", bytes[0] % 2 == 1 ? "1" : "");
}
// A field of one character is a string, thrice where columns are many.
std::size_t most_bytes(std::size_t size) { return kSlack + 400 * size; }
