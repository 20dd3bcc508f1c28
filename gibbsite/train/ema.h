// Exponential moving average of parameters: average <- decay · average + (1 − decay) · parameter, started at the
// initial parameters, without bias correction.
#pragma once

#include <gibbsite/core/tensor.h>

namespace gibbsite {

class Ema {
 public:
  Ema(NamedTensors parameters, double decay);
  void update();
  /// Exchanges averages and parameters bit for bit; calling it twice changes nothing.
  void swap();
  /// The live averages, named like the parameters.
  const NamedTensors& state() const { return average_; }
  /// Throws WorkError if a tensor is missing or has another shape or dtype.
  void restore(const NamedTensors& state);

 private:
  NamedTensors parameters_, average_;
  double decay_;
};

/// The averages stand in for the parameters while this lives. `ema` may be null.
class EmaScope {
 public:
  explicit EmaScope(Ema* ema) : ema_(ema) {
    if (ema_) ema_->swap();
  }
  ~EmaScope() {
    if (ema_) ema_->swap();
  }
  EmaScope(const EmaScope&) = delete;
  EmaScope& operator=(const EmaScope&) = delete;

 private:
  Ema* ema_;
};

}  // namespace gibbsite
