#include "fuzz.h"

#include <gibbsite/data/npy.h>

void read_bytes(const std::string& bytes) { gibbsite::parse_npy(bytes, "file"); }
std::size_t most_bytes(std::size_t size) { return kSlack + 16 * size; }
