#include "fuzz.h"

#include <gibbsite/data/gzip.h>

void read_bytes(const std::string& bytes) { gibbsite::gunzip(bytes, "file"); }
// Twice the content while a string grows, and the old half.
std::size_t most_bytes(std::size_t size) { return kSlack + 3 * kMostDeflated * size; }
