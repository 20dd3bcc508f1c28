#include <c10/core/Allocator.h>
#include <c10/util/Logging.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <gibbsite/core/compat.h>
#include <gibbsite/core/memory.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <mutex>
#include <unordered_map>

namespace gibbsite {
namespace {

// Keeps its own table of live blocks: LibTorch's remembers the size of a block that was released while nobody listened,
// and would report it for whatever later lives at that address.
class Counter : public c10::MemoryReportingInfoBase {
 public:
  explicit Counter(c10::DebugInfoBase* outer) : outer_(dynamic_cast<c10::MemoryReportingInfoBase*>(outer)) {}

  void reportMemoryUsage(void* block, std::int64_t bytes, compat::TotalBytes allocated, compat::TotalBytes reserved,
                         c10::Device device) override {
    if (outer_) outer_->reportMemoryUsage(block, bytes, allocated, reserved, device);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (bytes > 0) {
      std::int64_t& size = blocks_[block];
      current_ += bytes - size;
      size = bytes;
      peak_ = std::max(peak_, current_);
    } else if (const auto found = blocks_.find(block); found != blocks_.end()) {
      current_ -= found->second;
      blocks_.erase(found);
    }
  }
  bool memoryProfilingEnabled() const override { return true; }

  std::int64_t current() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return current_;
  }
  std::int64_t peak() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return peak_;
  }
  void reset_peak() {
    const std::lock_guard<std::mutex> lock(mutex_);
    peak_ = current_;
  }

 private:
  c10::MemoryReportingInfoBase* outer_;
  mutable std::mutex mutex_;
  std::unordered_map<void*, std::int64_t> blocks_;
  std::int64_t current_ = 0, peak_ = 0;
};

// LibTorch warns on stderr about the release of blocks it did not see being allocated, which is no news here.
class Quiet {
 public:
  Quiet() : before_(level()) { level() = kErrorsOnly; }
  ~Quiet() { level() = before_; }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;

 private:
  static constexpr int kErrorsOnly = 2;
#ifdef C10_USE_GLOG
  static std::int32_t& level() { return FLAGS_minloglevel; }
#else
  static int& level() { return FLAGS_caffe2_log_level; }
#endif
  int before_;
};

}  // namespace

struct PeakMemory::Scope {
  Quiet quiet;
  std::shared_ptr<Counter> counter =
      std::make_shared<Counter>(c10::ThreadLocalDebugInfo::get(c10::DebugInfoKind::PROFILER_STATE));
  c10::DebugInfoGuard guard{c10::DebugInfoKind::PROFILER_STATE, counter};
};

PeakMemory::PeakMemory() : scope_(std::make_unique<Scope>()) {}
PeakMemory::~PeakMemory() = default;
std::int64_t PeakMemory::current_bytes() const { return scope_->counter->current(); }
std::int64_t PeakMemory::peak_bytes() const { return scope_->counter->peak(); }
void PeakMemory::reset_peak() { scope_->counter->reset_peak(); }

std::int64_t resident_bytes() {
  std::ifstream status("/proc/self/statm");
  std::int64_t pages = 0, resident = 0;
  return status >> pages >> resident ? resident * ::sysconf(_SC_PAGESIZE) : 0;
}

}  // namespace gibbsite
