// Rules that bound a gradient before the optimiser sees it.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/core/tensor.h>

#include <vector>

namespace gibbsite {

struct ClippingOptions {
  double clip_norm = 0;
  double clip_value = 0;
  double clip_moments = 0;
  double clip_moments_floor = 0.1;
  /// Whether any limit is set.
  bool on() const { return clip_norm > 0 || clip_value > 0 || clip_moments > 0; }
  void declare(OptionVisitor& o);
};

/// √Σ‖g‖² over all defined gradients, 0-dim; zero if none is defined. No host-device sync.
Tensor global_norm(const std::vector<Tensor>& gradients);

/// Replaces the gradients by clipped ones, moments first, then values, then the norm, and returns the global norm before clipping. Norm clipping
/// multiplies every gradient by min(1, clip_norm/norm) (Pascanu, Mikolov and Bengio 2013). A limit of 0 is off.
/// The tensors themselves are left alone: gradients of one backward pass may share memory. Moment clipping moves every entry
/// into ± (clip_moments · √v + clip_moments_floor), v the optimiser's mean squared gradient before this step, its bias
/// corrected (VAEBM, appendix E; protocol sheet 5); an undefined one, before the first step, clips nothing.
Tensor clip_gradients(std::vector<Tensor>& gradients, const ClippingOptions& options,
                      const std::vector<Tensor>& second_moments = {});

}  // namespace gibbsite
