// A training run that was given up because it diverged, as opposed to one that could not be carried out.
#pragma once

#include <gibbsite/core/error.h>

#include <cstdint>
#include <string>

namespace gibbsite {

class Diverged : public WorkError {
 public:
  Diverged(const std::string& what, std::int64_t rollbacks)
      : WorkError("train", what, "lower the learning rate or clip the gradient"), rollbacks_(rollbacks) {}
  /// Returns to the last good state before that.
  std::int64_t rollbacks() const { return rollbacks_; }

 private:
  std::int64_t rollbacks_;
};

}  // namespace gibbsite
