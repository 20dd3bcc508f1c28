// The service behind `gibbsite report`.
#pragma once

#include <gibbsite/core/ports.h>

#include <string>
#include <vector>

namespace gibbsite {

/// One page about runs and reproductions. `out` empty: report.html in the first directory. Returns the file. Throws
/// RequestError for a directory that is neither a run nor a reproduction.
std::string report_directories(const std::vector<std::string>& directories, const std::string& out, const Ports& ports);

}  // namespace gibbsite
