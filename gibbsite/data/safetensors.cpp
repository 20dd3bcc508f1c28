#include <fmt/format.h>
#include <gibbsite/core/dense.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/data/safetensors.h>
#include <torch/types.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

namespace gibbsite {
namespace {

constexpr std::size_t kPrefix = 8, kAlignment = 8, kMaximumHeader = 100'000'000, kMaximumDimensions = 16;
const char* const kMetadata = "__metadata__";

struct TypeName {
  at::ScalarType type;
  const char* name;
};
constexpr TypeName kTypes[] = {{at::kDouble, "F64"}, {at::kFloat, "F32"}, {at::kHalf, "F16"},  {at::kBFloat16, "BF16"},
                               {at::kLong, "I64"},   {at::kInt, "I32"},   {at::kShort, "I16"}, {at::kChar, "I8"},
                               {at::kByte, "U8"},    {at::kBool, "BOOL"}};

/// One entry of the header.
struct Stored {
  std::string name;
  at::ScalarType type;
  Shape shape;
  std::uint64_t begin, end;
};

Stored stored_tensor(const std::string& name, const nlohmann::json& entry, std::uint64_t held,
                     const std::string& where) {
  const auto damaged = [&](const char* what) { return WorkError(where, fmt::format("tensor '{}': {}", name, what)); };
  if (!entry.is_object() || entry.size() != 3 || !entry.contains("dtype") || !entry.contains("shape") ||
      !entry.contains("data_offsets"))
    throw damaged("the header does not state dtype, shape and data_offsets");
  const nlohmann::json &dtype = entry["dtype"], &shape = entry["shape"], &offsets = entry["data_offsets"];
  const auto* type =
      std::find_if(std::begin(kTypes), std::end(kTypes), [&](const TypeName& t) { return dtype == t.name; });
  if (type == std::end(kTypes)) throw damaged("its type is not read");
  Stored stored{name, type->type, {}, 0, 0};
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
      !offsets[1].is_number_unsigned())
    throw damaged("data_offsets are not two whole numbers");
  stored.begin = offsets[0].get<std::uint64_t>();
  stored.end = offsets[1].get<std::uint64_t>();
  if (stored.begin > stored.end || stored.end > held) throw damaged("data_offsets lie outside the file");
  if (!shape.is_array() || shape.size() > kMaximumDimensions) throw damaged("the shape is no list of sizes");
  for (const nlohmann::json& size : shape) {
    if (!size.is_number_unsigned()) throw damaged("the shape is no list of sizes");
    const auto n = size.get<std::uint64_t>();
    if (n > (std::uint64_t{1} << 62)) throw damaged("the shape does not fit its data");
    stored.shape.push_back(static_cast<std::int64_t>(n));
  }
  if (dense_bytes(stored.shape, at::elementSize(stored.type)) != stored.end - stored.begin)
    throw damaged("the shape does not fit its data");
  return stored;
}

}  // namespace

void write_safetensors(const std::string& path, const Safetensors& content) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!content.metadata.empty()) {
    nlohmann::ordered_json& metadata = header[kMetadata] = nlohmann::ordered_json::object();
    for (const auto& [key, text] : content.metadata) metadata[key] = text;
  }
  std::string data;
  for (const auto& [name, tensor] : content.tensors) {
    const Tensor x = tensor.detach().cpu().contiguous();
    const auto* type = std::find_if(std::begin(kTypes), std::end(kTypes),
                                    [&](const TypeName& t) { return t.type == x.scalar_type(); });
    if (type == std::end(kTypes)) throw WorkError(path, fmt::format("'{}' has a type that the format has not", name));
    if (name == kMetadata || header.contains(name)) throw WorkError(path, fmt::format("the name '{}' is taken", name));
    header[name] = {
        {"dtype", type->name}, {"shape", x.sizes().vec()}, {"data_offsets", {data.size(), data.size() + x.nbytes()}}};
    data.append(static_cast<const char*>(x.data_ptr()), x.nbytes());
  }
  std::string text = header.dump();
  text.append((kAlignment - text.size() % kAlignment) % kAlignment, ' ');
  std::string out;
  for (std::size_t i = 0; i < kPrefix; ++i) out += static_cast<char>((std::uint64_t{text.size()} >> (8 * i)) & 0xff);
  write_file(path, out + text + data);
}

Safetensors parse_safetensors(const std::string& bytes, const std::string& where) {
  if (bytes.size() < kPrefix) throw WorkError(where, "not a safetensors file: it is shorter than its length field");
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < kPrefix; ++i) length |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  if (length > bytes.size() - kPrefix || length > kMaximumHeader)
    throw WorkError(where,
                    fmt::format("not a safetensors file: a header of {} bytes in a file of {}", length, bytes.size()));
  const std::size_t begin = kPrefix + static_cast<std::size_t>(length);
  const std::uint64_t held = bytes.size() - begin;
  // A callback sees every key, so that a name that is there twice does not replace the first.
  std::set<std::string> names;
  std::string twice;
  const auto watch = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& value) {
    if (depth > 4) throw WorkError(where, "the header is nested too deeply");
    if (depth == 1 && event == nlohmann::json::parse_event_t::key && !names.insert(value.get<std::string>()).second)
      twice = value.get<std::string>();
    return true;
  };
  nlohmann::json header;
  try {
    header = nlohmann::json::parse(bytes.begin() + kPrefix, bytes.begin() + static_cast<std::ptrdiff_t>(begin), watch);
  } catch (const nlohmann::json::exception&) {
    throw WorkError(where, "not a safetensors file: the header is no JSON");
  }
  if (!header.is_object()) throw WorkError(where, "not a safetensors file: the header is no JSON object");
  if (!twice.empty()) throw WorkError(where, fmt::format("the name '{}' is there twice", twice));

  Safetensors content;
  std::vector<Stored> stored;
  for (const auto& [name, entry] : header.items()) {
    if (name != kMetadata) {
      stored.push_back(stored_tensor(name, entry, held, where));
      continue;
    }
    if (!entry.is_object()) throw WorkError(where, "the metadata are no texts");
    for (const auto& [key, text] : entry.items()) {
      if (!text.is_string()) throw WorkError(where, "the metadata are no texts");
      content.metadata.emplace_back(key, text.get<std::string>());
    }
  }
  std::sort(stored.begin(), stored.end(), [](const Stored& a, const Stored& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end != b.end ? a.end < b.end : a.name < b.name;
  });
  std::uint64_t next = 0;
  for (const Stored& one : stored) {
    if (one.begin != next)
      throw WorkError(where, fmt::format("tensor '{}' leaves a hole or overlaps another", one.name));
    next = one.end;
  }
  if (next != held) throw WorkError(where, fmt::format("{} bytes of {} belong to no tensor", held - next, held));
  for (const Stored& one : stored) {
    Tensor x = torch::empty(one.shape, one.type);
    if (one.end > one.begin) std::memcpy(x.data_ptr(), bytes.data() + begin + one.begin, one.end - one.begin);
    // A bool other than 0 and 1 is undefined behaviour to read.
    if (one.type == at::kBool) x = x.view(at::kByte) != 0;
    content.tensors.emplace_back(one.name, x);
  }
  return content;
}

Safetensors read_safetensors(const std::string& path) { return parse_safetensors(read_file(path), path); }

}  // namespace gibbsite
