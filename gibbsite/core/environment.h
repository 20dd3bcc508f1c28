// What a number was measured with: the same block goes into --version, every result.json and every report.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace gibbsite {

using NamedStrings = std::vector<std::pair<std::string, std::string>>;

struct Environment {
  std::string version;
  std::string commit;      ///< "<hash>" or "<hash>+changes"
  std::string libtorch;    ///< e.g. "1.13.1"
  std::string blas;        ///< what is really loaded, e.g. "OpenBLAS 0.3.21 (openblas-openmp), SkylakeX kernels"
  std::string cpu;         ///< model name
  std::string capability;  ///< instruction set LibTorch's kernels use, e.g. "AVX512"
  std::int64_t threads = 1;
  std::string os;

  bool operator==(const Environment& other) const;
};

/// Of this process, now.
Environment environment();

/// (name, value) in a fixed order, for --version, reports and result files.
NamedStrings named_strings(const Environment& environment);

/// One JSON object.
std::string json_text(const Environment& environment);

/// The BLAS among the paths of the mapped files of a process (the text of /proc/self/maps): name and the folder that
/// tells variants apart, "unknown" if there is none.
std::string blas_in_maps(const std::string& maps);

}  // namespace gibbsite
