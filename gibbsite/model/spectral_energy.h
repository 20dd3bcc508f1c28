// Energies that know how large their linear maps are.
#pragma once

#include <gibbsite/model/energy.h>

namespace gibbsite {

class SpectralEnergy : public Energy {
 public:
  /// Σ over the convolutions of the largest singular value of the weight as a matrix [out, in k k] (VAEBM; protocol sheet
  /// 4.4), 0-dim, by power iterations that go on from those of the last call; differentiable in the parameters with the
  /// singular vectors fixed.
  virtual Tensor spectral_norms() const = 0;
};

}  // namespace gibbsite
