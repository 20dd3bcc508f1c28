#include "fuzz.h"

#include <gibbsite/data/lmdb.h>

void read_bytes(const std::string& bytes) {
  gibbsite::read_lmdb(as_file(bytes), [](std::string_view, const std::string&) {});
}
// A page for each level and the value at hand.
std::size_t most_bytes(std::size_t size) { return kSlack + 40 * size; }
