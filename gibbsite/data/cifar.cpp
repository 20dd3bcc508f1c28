#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/data/cifar.h>
#include <gibbsite/data/gzip.h>
#include <torch/types.h>

namespace gibbsite {

Dataset read_cifar(const std::string& path, std::int64_t label_bytes) {
  constexpr std::int64_t kSide = 32, kPixels = 3 * kSide * kSide;
  std::string content = read_maybe_gzip(path);
  const std::int64_t record = label_bytes + kPixels, bytes = static_cast<std::int64_t>(content.size());
  if (bytes == 0 || bytes % record != 0)
    throw WorkError(path, fmt::format("{} bytes are no whole number of records of {} bytes", bytes, record));
  const Tensor records = torch::from_blob(content.data(), {bytes / record, record}, torch::kByte);
  Dataset data;
  data.label = records.select(1, label_bytes - 1).to(torch::kLong);
  data.x = records.slice(1, label_bytes).reshape({-1, 3, kSide, kSide}).clone();
  data.source = path;
  data.high = 255;
  return data;
}

}  // namespace gibbsite
