#include <gibbsite/core/dense.h>

namespace gibbsite {

std::optional<std::uint64_t> dense_bytes(const Shape& sizes, std::size_t element) {
  constexpr std::uint64_t kMost = std::uint64_t{1} << 62;
  std::uint64_t bytes = element;
  bool empty = false;
  for (const std::int64_t size : sizes) {
    if (size < 0) return std::nullopt;
    empty = empty || size == 0;
    if (size > 0 && static_cast<std::uint64_t>(size) > kMost / bytes) return std::nullopt;
    if (size > 0) bytes *= static_cast<std::uint64_t>(size);
  }
  return empty ? 0 : bytes;
}

}  // namespace gibbsite
