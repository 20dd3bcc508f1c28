// What differs between LibTorch 1.13, the reference, and LibTorch 2: every question about its version is asked here (and
// CMakeLists.txt asks which C++ its headers want). For sources: no header includes this one.
#pragma once

#include <c10/util/Exception.h>
#include <torch/version.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace gibbsite::compat {

#if TORCH_VERSION_MAJOR >= 2

/// How c10::MemoryReportingInfoBase counts totals.
using TotalBytes = std::size_t;

class IgnoreWarnings : public c10::WarningHandler {
 public:
  void process(const c10::Warning&) override {}
};
using WarningHandlerGuard = c10::WarningUtils::WarningHandlerGuard;

#else

using TotalBytes = std::int64_t;

class IgnoreWarnings : public c10::WarningHandler {
 public:
  void process(const c10::SourceLocation&, const std::string&, bool) override {}
};
using WarningHandlerGuard = c10::Warning::WarningHandlerGuard;

#endif

/// While it lives, LibTorch's warnings in this thread go nowhere.
class Silence {
 public:
  Silence() : guard_(&ignore_) {}
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;

 private:
  IgnoreWarnings ignore_;
  WarningHandlerGuard guard_;
};

}  // namespace gibbsite::compat
