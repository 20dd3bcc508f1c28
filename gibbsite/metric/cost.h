// What a piece of work costs: time, counted multiply-adds, peak live tensor bytes.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/metric/estimate.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace gibbsite {

using Work = std::function<void()>;

struct MultiplyAdds {
  std::int64_t total = 0;
  std::map<std::string, std::int64_t> by_operation;  ///< "addmm", "convolution", "convolution_backward", …
};

/// Multiply-adds of the matrix products and convolutions that `work` runs on this thread, reverse passes included.
/// A convolution counts once however LibTorch computes it; each of input and weight gradient of a convolution counts as
/// much as its forward pass.
MultiplyAdds count_multiply_adds(const Work& work);

/// So many threads while it lives, 0 for those there are. Ratios of single-thread times carry over between machines.
class ThreadCount {
 public:
  explicit ThreadCount(std::int64_t count);
  ~ThreadCount();
  ThreadCount(const ThreadCount&) = delete;
  ThreadCount& operator=(const ThreadCount&) = delete;

 private:
  int before_;
};

struct TimingSettings {
  std::int64_t warmup = 1;
  std::int64_t rounds = 9;
  double seconds = 0;
  void declare(OptionVisitor& o) {
    o.option("warmup", warmup, "untimed rounds before", at_least(0));
    o.option("rounds", rounds, "timed rounds at least; every round runs each piece of work once", at_least(1));
    o.option("seconds", seconds, "go on with rounds until this much time has passed", non_negative());
  }
};

struct Timing {
  Estimate seconds;  ///< median wall time of one run; the standard error is that of a median, from its order statistics
  Estimate cpu_seconds;        ///< median process CPU time, all threads
  std::vector<double> rounds;  ///< wall seconds of every round, in order
};

/// Interleaved: A B C A B C …, so that a disturbance of the machine hits all alike.
std::vector<Timing> time_interleaved(const std::vector<Work>& work, const TimingSettings& settings = {});

/// Median over rounds of the ratio of two pieces of work that were timed together: drift of the machine cancels.
Estimate time_ratio(const Timing& numerator, const Timing& denominator);

/// Most bytes of tensors that `work` had alive at once, beyond those alive before; the largest of `rounds` runs after one
/// that is not measured (so that lazily made state does not count).
std::int64_t peak_bytes(const Work& work, std::int64_t rounds = 1);

/// Median with the standard error from the order statistics around the middle.
Estimate median_estimate(std::vector<double> values);

}  // namespace gibbsite
