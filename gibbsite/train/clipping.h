// Rules that bound a gradient before the optimiser sees it.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/core/tensor.h>

#include <vector>

namespace gibbsite {

struct ClippingOptions {
  double clip_norm = 0;
  double clip_value = 0;
  void declare(OptionVisitor& o);
};

/// √Σ‖g‖² over all defined gradients, 0-dim; zero if none is defined. No host-device sync.
Tensor global_norm(const std::vector<Tensor>& gradients);

/// Replaces the gradients by clipped ones, values first, and returns the global norm before clipping. Norm clipping
/// multiplies every gradient by min(1, clip_norm/norm) (Pascanu, Mikolov and Bengio 2013). A limit of 0 is off.
/// The tensors themselves are left alone: gradients of one backward pass may share memory.
Tensor clip_gradients(std::vector<Tensor>& gradients, const ClippingOptions& options);

}  // namespace gibbsite
