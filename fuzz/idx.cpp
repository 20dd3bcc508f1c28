#include "fuzz.h"

#include <gibbsite/data/idx.h>

void read_bytes(const std::string& bytes) { gibbsite::parse_idx(bytes, "file"); }
std::size_t most_bytes(std::size_t size) { return kSlack + 16 * size; }
