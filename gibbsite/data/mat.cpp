#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/dense.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/data/gzip.h>
#include <gibbsite/data/mat.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string_view>

namespace gibbsite {
namespace {

constexpr std::uint32_t kMatrix = 14, kCompressed = 15;
constexpr std::uint32_t kFirstNumericClass = 6, kLastNumericClass = 15, kSingleClass = 7, kUint8Class = 9;
constexpr std::uint32_t kComplexFlag = 0x0800;
constexpr std::size_t kHeader = 128, kMaximumDimensions = 16;

struct Element {
  std::uint32_t type = 0;
  std::string_view bytes;
};

// Elements one after another, each of a type, a length and content padded to 8 bytes.
class Elements {
 public:
  Elements(std::string_view bytes, bool swapped, std::string where)
      : left_(bytes), swapped_(swapped), where_(std::move(where)) {}
  bool more() const { return left_.size() >= 8; }
  Element next() {
    if (!more()) cut();
    const std::uint32_t first = word(0);
    Element element;
    std::size_t begin = 8, length = 0;
    if (first >> 16) {
      // Up to four bytes fit beside their tag.
      element.type = first & 0xffff;
      length = first >> 16;
      begin = 4;
      if (length > 4) throw WorkError(where_, "a small element of the MAT file claims more than four bytes");
    } else {
      element.type = first;
      length = word(4);
    }
    if (length > left_.size() - begin) cut();
    element.bytes = left_.substr(begin, length);
    const std::size_t used = begin == 4                    ? 8
                             : element.type == kCompressed ? begin + length
                                                           : begin + (length + 7) / 8 * 8;
    left_.remove_prefix(std::min(used, left_.size()));
    return element;
  }

 private:
  std::string_view left_;
  bool swapped_;
  std::string where_;

  [[noreturn]] void cut() const { throw WorkError(where_, "the MAT file is cut off"); }
  std::uint32_t word(std::size_t at) const {
    std::uint32_t value;
    std::memcpy(&value, left_.data() + at, 4);
    return swapped_ ? __builtin_bswap32(value) : value;
  }
};

struct NumberType {
  std::uint32_t type;
  std::size_t size;
};
constexpr NumberType kNumbers[] = {{1, 1}, {2, 1}, {3, 2}, {4, 2}, {5, 4}, {6, 4}, {7, 4}, {9, 8}, {12, 8}, {13, 8}};

template <class T>
double number(const char* bytes, bool swapped) {
  char raw[sizeof(T)];
  std::memcpy(raw, bytes, sizeof(T));
  if (swapped) std::reverse(raw, raw + sizeof(T));
  T value;
  std::memcpy(&value, raw, sizeof(T));
  return static_cast<double>(value);
}

double number_of(std::uint32_t type, const char* bytes, bool swapped) {
  switch (type) {
    case 1: return number<std::int8_t>(bytes, swapped);
    case 2: return number<std::uint8_t>(bytes, swapped);
    case 3: return number<std::int16_t>(bytes, swapped);
    case 4: return number<std::uint16_t>(bytes, swapped);
    case 5: return number<std::int32_t>(bytes, swapped);
    case 6: return number<std::uint32_t>(bytes, swapped);
    case 7: return number<float>(bytes, swapped);
    case 9: return number<double>(bytes, swapped);
    case 12: return number<std::int64_t>(bytes, swapped);
    default: return number<std::uint64_t>(bytes, swapped);
  }
}

// Numbers as they are stored, in float64 one by one, which holds what data sets hold.
class Numbers {
 public:
  Numbers(const Element& element, bool swapped, const std::string& where) : element_(element), swapped_(swapped) {
    const auto* known = std::find_if(std::begin(kNumbers), std::end(kNumbers),
                                     [&](const NumberType& entry) { return entry.type == element.type; });
    if (known == std::end(kNumbers) || element.bytes.size() % known->size != 0)
      throw WorkError(where, fmt::format("the MAT file stores numbers as type {}", element.type), "it is damaged");
    width_ = known->size;
  }
  std::size_t size() const { return element_.bytes.size() / width_; }
  double operator[](std::size_t i) const {
    return number_of(element_.type, element_.bytes.data() + i * width_, swapped_);
  }

 private:
  Element element_;
  bool swapped_;
  std::size_t width_ = 1;
};

// A whole number in [low, high]; anything else that a damaged file has is refused, as its conversion would be undefined.
std::int64_t whole(double value, double low, double high, const std::string& where) {
  if (!(value >= low && value <= high) || value != std::floor(value))
    throw WorkError(where, fmt::format("the MAT file has {} where a whole number is expected", value), "it is damaged");
  return static_cast<std::int64_t>(value);
}

at::ScalarType tensor_type(std::uint32_t kind) {
  if (kind == kUint8Class) return torch::kByte;
  if (kind == kSingleClass) return torch::kFloat;
  return kind < kSingleClass ? torch::kDouble : torch::kLong;
}

template <class T, class Convert>
void fill(Tensor& array, const Numbers& values, const Convert& convert) {
  T* out = array.data_ptr<T>();
  for (std::size_t i = 0; i < values.size(); ++i) out[i] = convert(values[i]);
}

// Appends the array unless it is one that is passed over.
void read_matrix(std::string_view bytes, bool swapped, const std::string& where, NamedTensors& arrays) {
  Elements parts(bytes, swapped, where);
  const Numbers flags(parts.next(), swapped, where);
  if (flags.size() == 0) throw WorkError(where, "an array of the MAT file has no flags");
  const auto word = static_cast<std::uint32_t>(whole(flags[0], 0, 0xffffffff, where));
  const std::uint32_t kind = word & 0xff;
  if (kind < kFirstNumericClass || kind > kLastNumericClass || word & kComplexFlag) return;
  const Numbers dimensions(parts.next(), swapped, where);
  const Element name = parts.next();
  const Numbers values(parts.next(), swapped, where);
  if (dimensions.size() < 2 || dimensions.size() > kMaximumDimensions)
    throw WorkError(where, fmt::format("an array of the MAT file has {} dimensions", dimensions.size()));
  // Column-major: the sizes in reverse, then all axes turned round.
  Shape reversed, axes;
  for (std::size_t i = dimensions.size(); i > 0; --i) {
    if (!(dimensions[i - 1] >= 0)) throw WorkError(where, "an array of the MAT file has a negative size");
    reversed.push_back(whole(dimensions[i - 1], 0, 0x7fffffff, where));
    axes.push_back(static_cast<std::int64_t>(i - 1));
  }
  if (dense_bytes(reversed, 1) != values.size())
    throw WorkError(where, fmt::format("an array of the MAT file claims {} numbers and holds {}",
                                       format_shape(reversed), values.size()));
  const at::ScalarType type = tensor_type(kind);
  Tensor array = torch::empty(reversed, type);
  if (type == torch::kDouble) {
    fill<double>(array, values, [](double value) { return value; });
  } else if (type == torch::kFloat) {
    fill<float>(array, values, [](double value) { return static_cast<float>(value); });
  } else if (type == torch::kByte) {
    fill<std::uint8_t>(array, values,
                       [&](double value) { return static_cast<std::uint8_t>(whole(value, 0, 255, where)); });
  } else {
    // The largest double below 2^63.
    fill<std::int64_t>(array, values, [&](double value) { return whole(value, -0x1p63, 0x1.fffffffffffffp62, where); });
  }
  arrays.emplace_back(std::string(name.bytes), array.permute(axes).contiguous());
}

}  // namespace

NamedTensors parse_mat(const std::string& content, const std::string& where) {
  if (content.compare(0, 4, "\x89HDF") == 0 || content.compare(0, 10, "MATLAB 7.3") == 0)
    throw WorkError(where, "is a MAT file of Level 7.3", "save it with -v7");
  if (content.size() < kHeader) throw WorkError(where, "not a MAT file of Level 5");
  const std::string mark = content.substr(126, 2);
  if (mark != "IM" && mark != "MI") throw WorkError(where, "not a MAT file of Level 5");
  // Such machines as this are little-endian.
  const bool swapped = mark == "MI";
  NamedTensors arrays;
  Elements elements(std::string_view(content).substr(kHeader), swapped, where);
  while (elements.more()) {
    const Element element = elements.next();
    if (element.type == kMatrix) {
      read_matrix(element.bytes, swapped, where, arrays);
    } else if (element.type == kCompressed) {
      const std::string inner = gunzip(std::string(element.bytes), where);
      const Element unpacked = Elements(inner, swapped, where).next();
      if (unpacked.type == kMatrix) read_matrix(unpacked.bytes, swapped, where, arrays);
    }
  }
  if (arrays.empty()) throw WorkError(where, "the MAT file holds no array of numbers");
  return arrays;
}

NamedTensors read_mat(const std::string& path) { return parse_mat(read_file(path), path); }

}  // namespace gibbsite
