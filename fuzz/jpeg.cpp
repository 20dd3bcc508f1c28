#include "fuzz.h"

#include <gibbsite/data/image_file.h>

void read_bytes(const std::string& bytes) { gibbsite::decode_image(bytes, "file"); }
// Coefficients of two bytes beside the pixels, and those twice.
std::size_t most_bytes(std::size_t size) { return kSlack + 8 * kMostDeflated * size; }
