// Columns of a table that hardly differ from another: a density on all of them would be nearly singular.
#pragma once

#include <gibbsite/core/tensor.h>

#include <vector>

namespace gibbsite {

/// The columns of x ([N, D]) to keep so that no two correlate above `limit`, ascending. While some column correlates
/// above the limit with another, the first such one goes. The first pass looks at absolute correlations, later ones at
/// signed ones, as the code behind the published density-estimation tables does (fd_score_matching.md 5.2).
std::vector<std::int64_t> without_near_duplicates(const Tensor& x, double limit);

}  // namespace gibbsite
