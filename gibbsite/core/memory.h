// How many bytes of tensors are alive.
#pragma once

#include <cstdint>
#include <memory>

namespace gibbsite {

/// Counts the bytes of tensors that this thread (and backward passes it starts on the CPU) allocates while the object
/// lives. Tensors that existed before are not counted, nor is their release. Scopes nest; each sees its own allocations
/// and those of inner scopes.
class PeakMemory {
 public:
  PeakMemory();
  ~PeakMemory();
  PeakMemory(const PeakMemory&) = delete;
  PeakMemory& operator=(const PeakMemory&) = delete;

  std::int64_t current_bytes() const;
  std::int64_t peak_bytes() const;
  /// Starts a new peak at the current bytes.
  void reset_peak();

 private:
  struct Scope;
  std::unique_ptr<Scope> scope_;
};

/// Resident bytes of the process; 0 where the system does not say.
std::int64_t resident_bytes();

}  // namespace gibbsite
