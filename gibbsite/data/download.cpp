#include <curl/curl.h>
#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/text.h>
#include <gibbsite/data/download.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>

namespace gibbsite {
namespace {

struct Transfer {
  std::FILE* file = nullptr;
  std::int64_t begin = 0, written = 0, size = 0;
  bool too_long = false, disk_failed = false, interrupted = false;
  const Ports* ports = nullptr;
  std::string name;
};

std::size_t receive(char* bytes, std::size_t one, std::size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::size_t n = one * count;
  transfer.too_long = transfer.begin + transfer.written + static_cast<std::int64_t>(n) > transfer.size;
  if (transfer.too_long) return 0;
  transfer.disk_failed = std::fwrite(bytes, 1, n, transfer.file) != n;
  if (transfer.disk_failed) return 0;
  transfer.written += static_cast<std::int64_t>(n);
  return n;
}

int watch(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  auto& transfer = *static_cast<Transfer*>(user);
  const auto have = static_cast<double>(transfer.begin + transfer.written), size = static_cast<double>(transfer.size);
  transfer.ports->logger->progress(fmt::format("{}: {} of {}", transfer.name, format_bytes(have), format_bytes(size)),
                                   have / size);
  transfer.interrupted = transfer.ports->interrupt->requested();
  return transfer.interrupted ? 1 : 0;
}

std::int64_t bytes_in(const std::string& file) {
  std::error_code error;
  const auto size = std::filesystem::file_size(file, error);
  return error ? 0 : static_cast<std::int64_t>(size);
}

// One attempt from the end of the file. False where the server sends the whole file instead of its rest.
bool attempt(const std::string& url, const std::string& path, std::int64_t size, const DownloadOptions& options,
             const Ports& ports) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  const std::unique_ptr<CURL, void (*)(CURL*)> curl(ready == CURLE_OK ? curl_easy_init() : nullptr, curl_easy_cleanup);
  if (!curl) throw WorkError(url, "libcurl does not start");
  Transfer transfer;
  transfer.begin = bytes_in(path);
  transfer.size = size;
  transfer.ports = &ports;
  transfer.name = std::filesystem::path(url).filename().string();
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "ab"), std::fclose);
  if (!file) throw WorkError(path, fmt::format("cannot write: {}", std::strerror(errno)));
  transfer.file = file.get();

  std::array<char, CURL_ERROR_SIZE> reason{};
  const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(curl.get(), option, value); };
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 1L);
  set(CURLOPT_MAXREDIRS, static_cast<long>(options.redirects));
  set(CURLOPT_FAILONERROR, 1L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_USERAGENT, "gibbsite");
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_seconds * 1000));
  set(CURLOPT_LOW_SPEED_LIMIT, static_cast<long>(options.slowest_bytes));
  set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(options.stall_seconds));
  set(CURLOPT_RESUME_FROM_LARGE, static_cast<curl_off_t>(transfer.begin));
  set(CURLOPT_ERRORBUFFER, reason.data());
  set(CURLOPT_WRITEFUNCTION, receive);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, watch);
  set(CURLOPT_XFERINFODATA, static_cast<void*>(&transfer));
  const CURLcode code = curl_easy_perform(curl.get());

  if (std::fflush(file.get()) != 0 || transfer.disk_failed)
    throw WorkError(path, fmt::format("cannot write: {}", std::strerror(errno)));
  if (transfer.interrupted) throw Interrupted("data get", "stopped; the same command goes on");
  if (transfer.too_long) throw WorkError(url, fmt::format("sends more than the {} bytes expected", size));
  if (code == CURLE_RANGE_ERROR) return false;
  if (code != CURLE_OK)
    throw WorkError(url, fmt::format("cannot be had: {}", reason[0] ? reason.data() : curl_easy_strerror(code)));
  if (bytes_in(path) < size) throw WorkError(url, fmt::format("ended after {} of {} bytes", bytes_in(path), size));
  return true;
}

}  // namespace

void download(const std::string& url, const std::string& file, std::int64_t size, const DownloadOptions& options,
              const Ports& ports) {
  if (bytes_in(file) > size) std::filesystem::resize_file(file, 0);
  if (bytes_in(file) == size) return;
  if (attempt(url, file, size, options, ports)) return;
  std::filesystem::resize_file(file, 0);
  attempt(url, file, size, options, ports);
}

}  // namespace gibbsite
