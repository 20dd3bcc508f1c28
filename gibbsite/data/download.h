// Files from the network, which cuts off, damages, redirects and stalls.
#pragma once

#include <gibbsite/core/ports.h>

#include <cstdint>
#include <string>

namespace gibbsite {

struct DownloadOptions {
  double connect_seconds = 20;
  double stall_seconds = 30;  ///< given up after so long below `slowest_bytes` a second
  std::int64_t slowest_bytes = 1000;
  std::int64_t redirects = 5;
};

/// Appends to `file` what `url` (http or https) has after the bytes that are there, up to `size` in all; starts anew where the
/// server does not go on in the middle. Throws Interrupted on request and WorkError, naming the URL, for anything else that
/// leaves the file short, or longer than it should be; what came is kept for another call.
void download(const std::string& url, const std::string& file, std::int64_t size, const DownloadOptions& options,
              const Ports& ports);

}  // namespace gibbsite
