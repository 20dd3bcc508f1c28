#include <fcntl.h>
#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/report/event_file.h>
#include <gibbsite/report/image.h>
#include <torch/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <filesystem>

namespace gibbsite {
namespace {

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

constexpr std::string_view kPrefix = "events.out.tfevents.";

// Readers take the files of a folder in the order of their names, so a new one is never named before those that are there,
// wherever the clock went.
double later_than_all(const std::string& directory, double now) {
  std::error_code error;
  for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    std::uint64_t seconds = 0;
    if (name.compare(0, kPrefix.size(), kPrefix) == 0 &&
        std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), seconds).ec == std::errc() &&
        seconds < 9'999'999'999)
      now = std::max(now, static_cast<double>(seconds) + 1);
  }
  return now;
}

template <class T>
std::string little_endian(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value > 127; value >>= 7) bytes += static_cast<char>(value | 128);
  return bytes + static_cast<char>(value);
}

// Fields of the wire format: a key of number and kind, then the value.
std::string field(int number, std::int64_t value) {
  return varint(static_cast<std::uint64_t>(number) << 3) + varint(static_cast<std::uint64_t>(value));
}
std::string field(int number, double value) {
  return varint(static_cast<std::uint64_t>(number) << 3 | 1) + little_endian(value);
}
std::string field(int number, float value) {
  return varint(static_cast<std::uint64_t>(number) << 3 | 5) + little_endian(value);
}
std::string field(int number, const std::string& bytes) {
  return varint(static_cast<std::uint64_t>(number) << 3 | 2) + varint(bytes.size()) + bytes;
}

std::uint32_t masked(std::uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; }

std::string record(const std::string& payload) {
  const std::string length = little_endian(static_cast<std::uint64_t>(payload.size()));
  return length + little_endian(masked(crc32c(length))) + payload + little_endian(masked(crc32c(payload)));
}

std::string value(const std::string& tag, const std::string& content) { return field(1, field(1, tag) + content); }

constexpr int kVersion = 3, kSummary = 5, kSessionLog = 7;

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  static const std::array<std::uint32_t, 256> table = [] {
    std::array<std::uint32_t, 256> made{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      made[i] = i;
      for (int bit = 0; bit < 8; ++bit) made[i] = made[i] >> 1 ^ (made[i] & 1 ? 0x82f63b78u : 0u);
    }
    return made;
  }();
  std::uint32_t crc = ~0u;
  for (const char c : bytes) crc = crc >> 8 ^ table[(crc ^ static_cast<unsigned char>(c)) & 255];
  return ~crc;
}

EventFile::EventFile(const std::string& directory, std::int64_t first_step) {
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  path_ = fmt::format("{}/{}{:010.0f}.{}.{}", directory, kPrefix, later_than_all(directory, wall_time()), host.data(),
                      ::getpid());
  file_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (file_ < 0) throw WorkError(path_, fmt::format("cannot write: {}", std::strerror(errno)));
  send(0, kVersion, "brain.Event:2");
  if (first_step > 0) send(first_step, kSessionLog, field(1, std::int64_t{1}));
}

EventFile::~EventFile() { ::close(file_); }

void EventFile::send(std::int64_t step, int number, const std::string& message) {
  last_time_ = std::max(last_time_, wall_time());
  const std::string bytes = record(field(1, last_time_) + field(2, step) + field(number, message));
  std::string_view left = bytes;
  while (!left.empty()) {
    const ssize_t n = ::write(file_, left.data(), left.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw WorkError(path_, fmt::format("cannot write: {}", std::strerror(errno)));
    left.remove_prefix(static_cast<std::size_t>(n));
  }
}

void EventFile::write(std::int64_t step, const std::string& phase, const NamedNumbers& numbers) {
  std::string summary;
  for (const auto& [name, number] : numbers)
    summary += value(phase.empty() ? name : phase + "/" + name, field(2, static_cast<float>(number)));
  send(step, kSummary, summary);
}

void EventFile::flush() { ::fsync(file_); }

void EventFile::images(std::int64_t step, const std::string& tag, const Tensor& x) {
  const Tensor pixels = image_grid(x);
  const std::string image =
      field(1, pixels.size(0)) + field(2, pixels.size(1)) + field(3, pixels.size(2)) + field(4, png_bytes(pixels));
  send(step, kSummary, value(tag, field(4, image)));
}

void EventFile::histogram(std::int64_t step, const std::string& tag, const Tensor& x, std::int64_t buckets) {
  Tensor values = x.detach().to(torch::kDouble).cpu().flatten();
  values = values.masked_select(values.isfinite());
  if (values.numel() == 0) return;
  const double low = values.min().item<double>(), high = values.max().item<double>();
  const std::int64_t count = low < high ? buckets : 1;
  const double width = (high - low) / static_cast<double>(count);
  std::string limits, counts;
  const Tensor bucket = low < high
                            ? ((values - low) / width).floor().clamp(0, static_cast<double>(count - 1)).to(torch::kLong)
                            : torch::zeros_like(values, torch::kLong);
  const Tensor shares = torch::bincount(bucket, {}, count).to(torch::kDouble);
  for (std::int64_t i = 0; i < count; ++i) {
    limits += little_endian(i + 1 < count ? low + width * static_cast<double>(i + 1) : high);
    counts += little_endian(shares[i].item<double>());
  }
  const std::string histogram = field(1, low) + field(2, high) + field(3, static_cast<double>(values.numel())) +
                                field(4, values.sum().item<double>()) + field(5, values.square().sum().item<double>()) +
                                field(6, limits) + field(7, counts);
  send(step, kSummary, value(tag, field(5, histogram)));
}

}  // namespace gibbsite
