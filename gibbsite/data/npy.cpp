#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/dense.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/data/npy.h>
#include <torch/types.h>
#include <zlib.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>

namespace gibbsite {
namespace {

const std::string kMagic = "\x93NUMPY";

struct TypeName {
  at::ScalarType type;
  const char* name;
};
constexpr TypeName kTypes[] = {{at::kFloat, "<f4"}, {at::kDouble, "<f8"}, {at::kByte, "|u1"},
                               {at::kInt, "<i4"},   {at::kLong, "<i8"},   {at::kBool, "|b1"}};

std::optional<at::ScalarType> type_named(const std::string& name) {
  for (const TypeName& entry : kTypes)
    if (name == entry.name || name == std::string("<") + (entry.name + 1)) return entry.type;
  return std::nullopt;
}

void append_little(std::string& out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>((value >> (8 * i)) & 0xff);
}

std::uint64_t little(const std::string& content, std::size_t at, int bytes) {
  std::uint64_t value = 0;
  for (int i = 0; i < bytes; ++i)
    value |= std::uint64_t{static_cast<unsigned char>(content[at + static_cast<std::size_t>(i)])} << (8 * i);
  return value;
}

// The text after `'key':` of the header's dictionary, blanks removed; empty where the key is absent.
std::string after_key(const std::string& header, const std::string& key) {
  std::size_t at = header.find("'" + key + "'");
  if (at == std::string::npos) return "";
  at = header.find(':', at);
  if (at == std::string::npos) return "";
  std::string rest = header.substr(at + 1);
  rest.erase(std::remove(rest.begin(), rest.end(), ' '), rest.end());
  return rest;
}

std::optional<Shape> shape_from(const std::string& text) {
  if (text.empty() || text[0] != '(') return std::nullopt;
  Shape sizes;
  const char* at = text.data() + 1;
  const char* end = text.data() + text.size();
  while (at != end && *at != ')') {
    std::int64_t size = 0;
    const auto [stop, error] = std::from_chars(at, end, size);
    if (error != std::errc() || size < 0 || sizes.size() == 16) return std::nullopt;
    sizes.push_back(size);
    at = stop;
    if (at != end && *at == ',') ++at;
  }
  return at == end ? std::nullopt : std::optional(sizes);
}

std::string npy_bytes(const Tensor& array) {
  Tensor x = array.detach().cpu().contiguous();
  if (x.is_floating_point() && x.scalar_type() != at::kDouble) x = x.to(at::kFloat);
  const auto* entry =
      std::find_if(std::begin(kTypes), std::end(kTypes), [&](const TypeName& t) { return t.type == x.scalar_type(); });
  if (entry == std::end(kTypes)) {
    x = x.to(at::kLong);
    entry = std::find_if(std::begin(kTypes), std::end(kTypes), [](const TypeName& t) { return t.type == at::kLong; });
  }
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}{}), }}", entry->name,
                                   fmt::join(x.sizes(), ", "), x.dim() == 1 ? "," : "");
  // The values start at a multiple of 64 bytes: 10 bytes of prefix, the header, blanks and a newline.
  header.append((64 - (10 + header.size() + 1) % 64) % 64, ' ');
  header += '\n';
  std::string out = kMagic;
  out += '\x01';
  out += '\0';
  append_little(out, header.size(), 2);
  out += header;
  out.append(static_cast<const char*>(x.data_ptr()), x.nbytes());
  return out;
}

constexpr std::uint64_t kPlainZipLimit = 0xffffffffULL;

}  // namespace

Tensor parse_npy(const std::string& content, const std::string& where) {
  if (content.size() < 10 || content.compare(0, kMagic.size(), kMagic) != 0) throw WorkError(where, "not an NPY file");
  const int version = static_cast<unsigned char>(content[6]);
  if (version != 1 && version != 2)
    throw WorkError(where, fmt::format("NPY version {} is not known", version), "1 and 2 are");
  const std::size_t prefix = version == 1 ? 10 : 12;
  if (content.size() < prefix) throw WorkError(where, "the NPY header is cut off");
  const std::size_t length = little(content, 8, version == 1 ? 2 : 4);
  if (length > content.size() - prefix) throw WorkError(where, "the NPY header is cut off");
  const std::string header = content.substr(prefix, length);

  const std::string descr = after_key(header, "descr"), order = after_key(header, "fortran_order");
  const auto sizes = shape_from(after_key(header, "shape"));
  const bool fortran = order.compare(0, 4, "True") == 0;
  if (!sizes || descr.empty() || (!fortran && order.compare(0, 5, "False") != 0))
    throw WorkError(where, "the NPY header does not state descr, fortran_order and shape");
  const std::string name = descr[0] == '\'' ? descr.substr(1, descr.find('\'', 1) - 1) : "a structure";
  const auto type = type_named(name);
  if (!type)
    throw WorkError(where, fmt::format("values of type {} are not read", name),
                    "f4, f8, u1, i4, i8 and bool, little-endian");

  const std::size_t held = content.size() - prefix - length;
  if (dense_bytes(*sizes, at::elementSize(*type)) != held)
    throw WorkError(where, fmt::format("the NPY header says {} of type {}, the file holds {} bytes",
                                       format_shape(*sizes), name, held));

  Shape stored = *sizes;
  if (fortran) std::reverse(stored.begin(), stored.end());
  Tensor x = torch::empty(stored, *type);
  if (held > 0) std::memcpy(x.data_ptr(), content.data() + prefix + length, held);
  if (*type == at::kBool) x = (x.view(at::kByte) != 0);
  if (!fortran) return x;
  Shape reversed(stored.size());
  for (std::size_t i = 0; i < reversed.size(); ++i) reversed[i] = static_cast<std::int64_t>(reversed.size() - 1 - i);
  return x.permute(reversed).contiguous();
}

Tensor read_npy(const std::string& path) { return parse_npy(read_file(path), path); }

void write_npy(const std::string& path, const Tensor& x) { write_file(path, npy_bytes(x)); }

void write_npz(const std::string& path, const NamedTensors& arrays) {
  std::string out, directory;
  for (const auto& [array_name, array] : arrays) {
    const std::string name = array_name + ".npy", bytes = npy_bytes(array);
    if (bytes.size() + out.size() > kPlainZipLimit)
      throw WorkError(path, "more than 4 GiB do not fit a plain .npz file");
    const std::uint64_t offset = out.size();
    std::string common;                // what the local header and the directory share
    append_little(common, 20, 2);      // version needed
    append_little(common, 0x0800, 2);  // names are UTF-8
    append_little(common, 0, 2);       // stored
    append_little(common, 0, 2);       // time
    append_little(common, 0x21, 2);    // 1 January 1980
    append_little(common, crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()), 4);
    append_little(common, bytes.size(), 4);
    append_little(common, bytes.size(), 4);
    append_little(common, name.size(), 2);
    append_little(common, 0, 2);  // no extra field
    out += "PK\x03\x04" + common + name + bytes;
    directory += "PK\x01\x02";
    append_little(directory, 20, 2);  // version made by
    directory += common;
    append_little(directory, 0, 2);  // no comment
    append_little(directory, 0, 2);  // first disk
    append_little(directory, 0, 2);  // internal attributes
    append_little(directory, 0, 4);  // external attributes
    append_little(directory, offset, 4);
    directory += name;
  }
  const std::uint64_t start = out.size();
  if (start + directory.size() > kPlainZipLimit) throw WorkError(path, "more than 4 GiB do not fit a plain .npz file");
  out += directory + "PK\x05\x06";
  append_little(out, 0, 4);  // one disk
  append_little(out, arrays.size(), 2);
  append_little(out, arrays.size(), 2);
  append_little(out, directory.size(), 4);
  append_little(out, start, 4);
  append_little(out, 0, 2);  // no comment
  write_file(path, out);
}

NamedTensors parse_npz(const std::string& content, const std::string& where) {
  const auto damaged = [&] { return WorkError(where, "not an .npz file, or a damaged one"); };
  const std::size_t end = content.rfind("PK\x05\x06");
  if (end == std::string::npos || content.size() - end < 22) throw damaged();
  const std::uint64_t entries = little(content, end + 10, 2);
  std::size_t at = little(content, end + 16, 4);
  NamedTensors arrays;
  std::uint64_t left = content.size();
  for (std::uint64_t i = 0; i < entries; ++i) {
    if (at > content.size() || content.size() - at < 46 || content.compare(at, 4, "PK\x01\x02") != 0) throw damaged();
    const std::uint64_t method = little(content, at + 10, 2), crc = little(content, at + 16, 4);
    const std::uint64_t size = little(content, at + 20, 4), name_size = little(content, at + 28, 2);
    const std::size_t local = little(content, at + 42, 4);
    if (content.size() - at - 46 < name_size) throw damaged();
    std::string name = content.substr(at + 46, name_size);
    at += 46 + name_size + little(content, at + 30, 2) + little(content, at + 32, 2);
    if (method != 0)
      throw WorkError(where, fmt::format("'{}' is compressed", name), "numpy.savez writes it uncompressed");
    if (local > content.size() || content.size() - local < 30 || content.compare(local, 4, "PK\x03\x04") != 0)
      throw damaged();
    const std::size_t begin = local + 30 + little(content, local + 26, 2) + little(content, local + 28, 2);
    if (begin > content.size() || content.size() - begin < size) throw damaged();
    // Entries that share their bytes would together hold more than the file.
    if (size > left) throw damaged();
    left -= size;
    const std::string bytes = content.substr(begin, size);
    if (crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()) != crc)
      throw WorkError(where, fmt::format("'{}' does not match its checksum", name));
    const Tensor array = parse_npy(bytes, where + "/" + name);
    if (name.size() > 4 && name.compare(name.size() - 4, 4, ".npy") == 0) name.resize(name.size() - 4);
    arrays.emplace_back(name, array);
  }
  return arrays;
}

NamedTensors read_npz(const std::string& path) { return parse_npz(read_file(path), path); }

}  // namespace gibbsite
