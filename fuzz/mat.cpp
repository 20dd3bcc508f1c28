#include "fuzz.h"

#include <gibbsite/data/mat.h>

void read_bytes(const std::string& bytes) { gibbsite::parse_mat(bytes, "file"); }
// Compressed arrays, of bytes that become numbers of eight.
std::size_t most_bytes(std::size_t size) { return kSlack + 16 * kMostDeflated * size; }
