#include <gibbsite/data/near_duplicates.h>
#include <torch/types.h>

#include <numeric>

namespace gibbsite {

std::vector<std::int64_t> without_near_duplicates(const Tensor& x, double limit) {
  const Tensor rows = x.to(torch::kCPU, torch::kDouble);
  const Tensor centred = rows - rows.mean(0);
  const Tensor unit = centred / centred.norm(2, 0, true);
  const Tensor correlation = unit.t().mm(unit);

  std::vector<std::int64_t> kept(static_cast<std::size_t>(x.size(1)));
  std::iota(kept.begin(), kept.end(), 0);
  for (bool first = true;; first = false) {
    const Tensor index = torch::tensor(kept, torch::kLong);
    const Tensor among = correlation.index_select(0, index).index_select(1, index);
    // Every column correlates with itself.
    const Tensor near = ((first ? among.abs() : among) > limit).sum(0) > 1;
    const Tensor which = near.nonzero();
    if (which.size(0) == 0) return kept;
    kept.erase(kept.begin() + which[0].item<std::int64_t>());
  }
}

}  // namespace gibbsite
