// Maximum mean discrepancy as a penalty that is differentiated (WAE-MMD; protocol sheet of minimum velocity learning, section 5).
#pragma once

#include <gibbsite/core/tensor.h>

namespace gibbsite {

/// Mean of k over different pairs of x, the same of y, minus twice the mean over all pairs (x, y): 0-dim, with k(a, b) =
/// exp(-‖a - b‖²/(2s)) and s the sum of two medians of squared distances, of all pairs (x, y) and of pairs of x. Differentiable
/// in both, through s too. x, y: [n, K], n > 1.
Tensor mean_discrepancy(const Tensor& x, const Tensor& y);

}  // namespace gibbsite
