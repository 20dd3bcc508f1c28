// An energy that is an exact negative log density, log p(x) = -energy(x), and whose law can be sampled.
#pragma once

#include <gibbsite/model/energy.h>

namespace gibbsite {

class NormalisedEnergy : public Energy {
 public:
  /// n independent exact samples, [n, *event], without a graph; row r is a function of the generator's stream, step and
  /// global row.
  virtual Tensor sample(std::int64_t n, Rng& rng) const = 0;
};

}  // namespace gibbsite
