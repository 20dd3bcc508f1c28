#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/dense.h>
#include <gibbsite/core/error.h>
#include <gibbsite/data/gzip.h>
#include <gibbsite/data/idx.h>
#include <torch/types.h>

#include <algorithm>
#include <cstring>
#include <optional>

namespace gibbsite {
namespace {

std::optional<at::ScalarType> type_of(unsigned char code) {
  switch (code) {
    case 0x08: return at::kByte;
    case 0x09: return at::kChar;
    case 0x0b: return at::kShort;
    case 0x0c: return at::kInt;
    case 0x0d: return at::kFloat;
    case 0x0e: return at::kDouble;
    default: return std::nullopt;
  }
}

}  // namespace

Tensor parse_idx(const std::string& content, const std::string& where) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(content.data());
  if (content.size() < 4) throw WorkError(where, fmt::format("{} bytes are too few for an IDX header", content.size()));
  const auto type = type_of(bytes[2]);
  if (bytes[0] != 0 || bytes[1] != 0 || !type || bytes[3] == 0 || bytes[3] > 8)
    throw WorkError(where,
                    fmt::format("not an IDX file: it begins with {:02x} {:02x} {:02x} {:02x}", bytes[0], bytes[1],
                                bytes[2], bytes[3]),
                    "expected 00 00, a type from 08 to 0e and 1 to 8 dimensions");
  const std::size_t dimensions = bytes[3], header = 4 + 4 * dimensions;
  if (content.size() < header) throw WorkError(where, "the IDX header is cut off");
  const std::size_t held = content.size() - header, width = at::elementSize(*type);
  Shape sizes;
  for (std::size_t i = 0; i < dimensions; ++i) {
    const unsigned char* p = bytes + 4 + 4 * i;
    sizes.push_back((std::int64_t{p[0]} << 24) | (std::int64_t{p[1]} << 16) | (std::int64_t{p[2]} << 8) | p[3]);
  }
  const auto wanted = dense_bytes(sizes, width);
  if (!wanted || *wanted > held)
    throw WorkError(where, fmt::format("the IDX header says {} of {} bytes each, the file holds {} bytes",
                                       format_shape(sizes), width, held));
  if (*wanted < held)
    throw WorkError(where, fmt::format("{} bytes after the {} values that the IDX header says", held - *wanted,
                                       format_shape(sizes)));
  Tensor x = torch::empty(sizes, *type);
  if (held > 0) std::memcpy(x.data_ptr(), bytes + header, held);
  if (width > 1) {
    auto* raw = static_cast<unsigned char*>(x.data_ptr());
    for (std::size_t i = 0; i + width <= held; i += width) std::reverse(raw + i, raw + i + width);
  }
  return x;
}

Tensor read_idx(const std::string& path) { return parse_idx(read_maybe_gzip(path), path); }

}  // namespace gibbsite
