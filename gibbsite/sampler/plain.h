// The condition for a kernel's own loop over memory in place of tensor operations. Besides saving calls that cost more
// than the arithmetic of a small state, such a loop rounds every row alike, where vectorised library functions treat the
// ends of a tensor apart and so let a row depend on its neighbours.
#pragma once

#include <gibbsite/core/tensor.h>

namespace gibbsite {

/// On the CPU, contiguous, float32 or float64 like `like`.
inline bool plain(const Tensor& t, const Tensor& like) {
  return t.device().is_cpu() && t.is_contiguous() && t.scalar_type() == like.scalar_type() &&
         (t.scalar_type() == at::kFloat || t.scalar_type() == at::kDouble);
}

}  // namespace gibbsite
