#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gibbsite/core/dense.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/train/checkpoint.h>
#include <torch/types.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

namespace gibbsite {
namespace {

namespace fs = std::filesystem;

constexpr char kMagic[8] = {'G', 'I', 'B', 'B', 'C', 'K', 'P', 'T'};
constexpr std::uint32_t kVersion = 1;
constexpr std::uint64_t kPreambleBytes = 40;
constexpr std::size_t kMaximumDimensions = 64;
constexpr const char* kUnfinished = ".part";  // how unfinished files end

struct DtypeName {
  at::ScalarType dtype;
  const char* name;
};
constexpr DtypeName kDtypes[] = {{at::kFloat, "float32"},     {at::kDouble, "float64"}, {at::kHalf, "float16"},
                                 {at::kBFloat16, "bfloat16"}, {at::kLong, "int64"},     {at::kInt, "int32"},
                                 {at::kShort, "int16"},       {at::kChar, "int8"},      {at::kByte, "uint8"},
                                 {at::kBool, "bool"}};

const char* dtype_name(at::ScalarType dtype) {
  for (const DtypeName& entry : kDtypes)
    if (entry.dtype == dtype) return entry.name;
  throw WorkError("checkpoint", "tensors of this dtype cannot be stored");
}

template <class T>
void put(char* at, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) at[i] = static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i));
}

template <class T>
T get(const char* at) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) value |= std::uint64_t{static_cast<unsigned char>(at[i])} << (8 * i);
  return static_cast<T>(value);
}

std::uint32_t checksum(const char* data, std::size_t bytes) {
  return static_cast<std::uint32_t>(crc32_z(crc32_z(0, nullptr, 0), reinterpret_cast<const Bytef*>(data), bytes));
}

constexpr std::uint64_t aligned(std::uint64_t offset) { return (offset + 63) / 64 * 64; }

// Makes `path` a second name of `existing` (a copy where links are not to be had), replacing what was there.
void link_or_copy(const std::string& existing, const std::string& path) {
  const std::string temporary = path + kUnfinished;
  std::error_code failed;
  fs::remove(temporary, failed);
  fs::create_hard_link(existing, temporary, failed);
  if (!failed) fs::rename(temporary, path, failed);
  std::error_code ignored;
  fs::remove(temporary, ignored);  // renaming one of two names of the same file leaves both
  if (failed) write_file(path, read_file(existing));
}

struct Stored {
  std::string name;
  at::ScalarType dtype;
  Shape shape;
  std::uint64_t offset, bytes;
};

// The library would convert a number with a fraction, undefined where it does not fit.
std::uint64_t whole(const nlohmann::json& number, const std::string& path) {
  if (!number.is_number_unsigned())
    throw WorkError(path, "corrupt checkpoint: its header has no whole number for a size");
  return number.get<std::uint64_t>();
}

// Checks that the tensors tile the payload in order, so that together they can never take more memory than the file.
std::vector<Stored> parse_tensors(const nlohmann::json& list, std::uint64_t payload, const std::string& path) {
  const auto corrupt = [&](const std::string& what) { return WorkError(path, "corrupt checkpoint: " + what); };
  std::vector<Stored> tensors;
  std::uint64_t expected_offset = 0;
  for (const nlohmann::json& item : list) {
    Stored stored;
    stored.name = item.at("name").get<std::string>();
    const std::string dtype = item.at("dtype").get<std::string>();
    const auto* known = std::find_if(std::begin(kDtypes), std::end(kDtypes),
                                     [&](const DtypeName& entry) { return dtype == entry.name; });
    if (known == std::end(kDtypes))
      throw corrupt(fmt::format("tensor '{}' has unknown dtype '{}'", stored.name, dtype));
    stored.dtype = known->dtype;
    for (const nlohmann::json& size : item.at("shape")) {
      const std::uint64_t n = whole(size, path);
      if (n > (std::uint64_t{1} << 48)) throw corrupt(fmt::format("tensor '{}' has a size of {}", stored.name, n));
      stored.shape.push_back(static_cast<std::int64_t>(n));
    }
    if (stored.shape.size() > kMaximumDimensions)
      throw corrupt(fmt::format("tensor '{}' has {} dimensions", stored.name, stored.shape.size()));
    const auto bytes = dense_bytes(stored.shape, at::elementSize(stored.dtype));
    stored.bytes = whole(item.at("bytes"), path);
    stored.offset = whole(item.at("offset"), path);
    const std::uint64_t offset = stored.offset;
    if (bytes != stored.bytes || offset != expected_offset || offset > payload || *bytes > payload - offset)
      throw corrupt(fmt::format("tensor '{}' does not fit its place in the file", stored.name));
    expected_offset = aligned(offset + *bytes);
    tensors.push_back(std::move(stored));
  }
  return tensors;
}

}  // namespace

const Tensor* Checkpoint::find(const std::string& name) const {
  for (const auto& [own, tensor] : tensors)
    if (own == name) return &tensor;
  return nullptr;
}

const Tensor& Checkpoint::at(const std::string& name) const {
  const Tensor* tensor = find(name);
  if (!tensor) throw WorkError("checkpoint", fmt::format("has no tensor '{}'", name));
  return *tensor;
}

NamedTensors Checkpoint::under(const std::string& prefix) const {
  NamedTensors found;
  for (const auto& [name, tensor] : tensors)
    if (name.compare(0, prefix.size(), prefix) == 0) found.emplace_back(name.substr(prefix.size()), tensor);
  return found;
}

void write_checkpoint(const std::string& path, const Checkpoint& checkpoint) {
  nlohmann::json header = {
      {"step", checkpoint.step}, {"notes", nlohmann::json::array()}, {"tensors", nlohmann::json::array()}};
  for (const auto& [key, text] : checkpoint.notes) header["notes"].push_back({key, text});
  std::vector<Tensor> dense;
  std::uint64_t payload = 0;
  for (const auto& [name, tensor] : checkpoint.tensors) {
    dense.push_back(tensor.detach().to(torch::kCPU).contiguous());
    payload = aligned(payload);
    header["tensors"].push_back({{"name", name},
                                 {"dtype", dtype_name(tensor.scalar_type())},
                                 {"shape", tensor.sizes().vec()},
                                 {"offset", payload},
                                 {"bytes", dense.back().nbytes()}});
    payload += dense.back().nbytes();
  }
  const std::string text = header.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);

  std::string file(kPreambleBytes + text.size() + payload, '\0');
  text.copy(file.data() + kPreambleBytes, text.size());
  char* const numbers = file.data() + kPreambleBytes + text.size();
  std::uint64_t offset = 0;
  for (const Tensor& tensor : dense) {
    offset = aligned(offset);
    if (tensor.nbytes() > 0) std::memcpy(numbers + offset, tensor.data_ptr(), tensor.nbytes());
    offset += tensor.nbytes();
  }
  std::memcpy(file.data(), kMagic, sizeof kMagic);
  put<std::uint32_t>(file.data() + 8, kVersion);
  put<std::uint64_t>(file.data() + 16, text.size());
  put<std::uint64_t>(file.data() + 24, payload);
  put<std::uint32_t>(file.data() + 32, checksum(numbers, payload));
  put<std::uint32_t>(file.data() + 12, checksum(file.data() + 16, kPreambleBytes - 16 + text.size()));
  write_file(path, file);
}

Checkpoint read_checkpoint(const std::string& path) {
  const auto corrupt = [&](const std::string& what) { return WorkError(path, "corrupt checkpoint: " + what); };
  const std::string file = read_file(path);
  if (file.size() < kPreambleBytes) throw corrupt(fmt::format("{} bytes are less than its preamble", file.size()));
  if (std::memcmp(file.data(), kMagic, sizeof kMagic) != 0) throw WorkError(path, "is not a gibbsite checkpoint");
  const auto version = get<std::uint32_t>(file.data() + 8);
  if (version != kVersion)
    throw WorkError(path, fmt::format("has checkpoint version {}, this build reads {}", version, kVersion));
  const auto header_bytes = get<std::uint64_t>(file.data() + 16), payload_bytes = get<std::uint64_t>(file.data() + 24);
  const std::uint64_t room = file.size() - kPreambleBytes;
  if (header_bytes > room || payload_bytes != room - header_bytes)
    throw corrupt(fmt::format("{} bytes where it promises {} + {} + {}, truncated?", file.size(), kPreambleBytes,
                              header_bytes, payload_bytes));
  if (get<std::uint32_t>(file.data() + 12) != checksum(file.data() + 16, kPreambleBytes - 16 + header_bytes))
    throw corrupt("the checksum of its header fails");
  const char* const numbers = file.data() + kPreambleBytes + header_bytes;
  if (get<std::uint32_t>(file.data() + 32) != checksum(numbers, payload_bytes))
    throw corrupt("the checksum of its numbers fails");

  Checkpoint checkpoint;
  std::vector<Stored> tensors;
  try {
    const nlohmann::json header = nlohmann::json::parse(file.data() + kPreambleBytes, numbers);
    if (!header.at("step").is_number_integer()) throw corrupt("its header has no step");
    checkpoint.step = header.at("step").get<std::int64_t>();
    for (const nlohmann::json& note : header.at("notes"))
      checkpoint.notes.emplace_back(note.at(0).get<std::string>(), note.at(1).get<std::string>());
    tensors = parse_tensors(header.at("tensors"), payload_bytes, path);
  } catch (const nlohmann::json::exception&) {
    throw corrupt("its header is not what a checkpoint has");
  }
  for (const Stored& stored : tensors) {
    Tensor tensor = torch::empty(stored.shape, torch::TensorOptions().dtype(stored.dtype));
    if (stored.bytes > 0) std::memcpy(tensor.data_ptr(), numbers + stored.offset, stored.bytes);
    // A bool other than 0 and 1 is undefined behaviour to read.
    if (stored.dtype == at::kBool) tensor = tensor.view(at::kByte) != 0;
    checkpoint.tensors.emplace_back(stored.name, tensor);
  }
  return checkpoint;
}

void copy_tensors(const NamedTensors& from, const NamedTensors& to, const std::string& where) {
  std::map<std::string, const Tensor*> index;
  for (const auto& [name, tensor] : from) index.emplace(name, &tensor);
  for (const auto& [name, live] : to) {
    const auto found = index.find(name);
    if (found == index.end()) throw WorkError(where, fmt::format("tensor '{}' is missing", name));
    const Tensor& stored = *found->second;
    if (stored.sizes() != live.sizes() || stored.scalar_type() != live.scalar_type())
      throw WorkError(where, fmt::format("tensor '{}' is {} [{}], expected {} [{}]", name,
                                         dtype_name(stored.scalar_type()), fmt::join(stored.sizes().vec(), ", "),
                                         dtype_name(live.scalar_type()), fmt::join(live.sizes().vec(), ", ")));
  }
  const torch::NoGradGuard no_grad;
  for (const auto& [name, live] : to) live.copy_(*index.at(name));
}

std::string CheckpointStore::path(std::int64_t step) const {
  return (fs::path(directory_) / fmt::format("checkpoint-{}.pt", step)).string();
}

std::string CheckpointStore::best_path() const { return (fs::path(directory_) / "checkpoint-best.pt").string(); }

std::vector<std::int64_t> CheckpointStore::steps() const {
  std::vector<std::int64_t> steps;
  std::error_code error;
  for (fs::directory_iterator it(directory_, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    const std::string prefix = "checkpoint-", suffix = ".pt";
    if (name.size() <= prefix.size() + suffix.size() || name.compare(0, prefix.size(), prefix) != 0 ||
        name.compare(name.size() - suffix.size(), suffix.size(), suffix) != 0)
      continue;
    const std::string digits = name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
    if (digits.size() <= 18 && std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; }))
      steps.push_back(std::stoll(digits));
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

bool CheckpointStore::has_best() const {
  std::error_code error;
  return fs::exists(best_path(), error);
}

void CheckpointStore::save(const Checkpoint& checkpoint, bool best) const {
  const std::string file = path(checkpoint.step);
  std::error_code ignored;
  // A killed process may have left an unfinished file.
  for (fs::directory_iterator it(directory_, ignored), end; !ignored && it != end; it.increment(ignored)) {
    const std::string name = it->path().filename().string();
    if (name.rfind("checkpoint-", 0) == 0 && it->path().extension() == kUnfinished) fs::remove(it->path(), ignored);
  }
  write_checkpoint(file, checkpoint);
  if (best) link_or_copy(file, best_path());
  // Later ones belong to a course that a rollback has given up.
  std::vector<std::int64_t> known = steps();
  known.erase(std::remove(known.begin(), known.end(), checkpoint.step), known.end());
  std::vector<std::int64_t> later, earlier;
  for (const std::int64_t step : known) (step > checkpoint.step ? later : earlier).push_back(step);
  if (!earlier.empty()) earlier.pop_back();
  for (const std::vector<std::int64_t>* group : {&later, &earlier})
    for (const std::int64_t step : *group) fs::remove(path(step), ignored);
}

Checkpoint CheckpointStore::load_newest(Logger& logger) const {
  std::vector<std::string> candidates;
  for (const std::int64_t step : steps()) candidates.insert(candidates.begin(), path(step));
  if (has_best()) candidates.push_back(best_path());
  std::string failures;
  for (const std::string& candidate : candidates) {
    try {
      Checkpoint checkpoint = read_checkpoint(candidate);
      if (!failures.empty())
        logger.warn(fmt::format("{}; going on from {}", failures, fs::path(candidate).filename().string()));
      return checkpoint;
    } catch (const WorkError& error) {
      failures += (failures.empty() ? "" : "; ") + std::string(error.what());
    }
  }
  throw WorkError(directory_, "no readable checkpoint", failures);
}

Checkpoint CheckpointStore::load_best(Logger& logger) const {
  if (has_best()) {
    try {
      return read_checkpoint(best_path());
    } catch (const WorkError& error) {
      logger.warn(fmt::format("{}; using the newest checkpoint", error.what()));
    }
  }
  return load_newest(logger);
}

}  // namespace gibbsite
