#include "fuzz.h"

#include <gibbsite/data/cifar.h>

// The first byte says how many bytes of labels a record has.
void read_bytes(const std::string& bytes) {
  if (!bytes.empty()) gibbsite::read_cifar(as_file(bytes.substr(1)), bytes[0] % 2 == 1 ? 2 : 1);
}
std::size_t most_bytes(std::size_t size) { return kSlack + 4 * kMostDeflated * size; }
