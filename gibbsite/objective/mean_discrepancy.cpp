#include <gibbsite/calculus/kernel.h>
#include <gibbsite/core/error.h>
#include <gibbsite/objective/mean_discrepancy.h>
#include <torch/types.h>

#include <algorithm>

namespace gibbsite {

Tensor mean_discrepancy(const Tensor& x, const Tensor& y) {
  const std::int64_t n = x.size(0);
  if (n < 2 || y.size(0) != n) throw RequestError("mean discrepancy", "needs two sets of as many points, two or more");
  const Tensor xx = squared_distances(x, x), yy = squared_distances(y, y), xy = squared_distances(x, y);
  // The rank of the published code, among all n² of either, whose zeros on the diagonal of xx come last.
  const std::int64_t rank = std::max<std::int64_t>((n * n - n) / 2, 1);
  const auto median = [&](const Tensor& d) { return std::get<0>(d.flatten().kthvalue(n * n - rank + 1)); };
  const Tensor s = median(xy) + median(xx);
  const auto kernel = [&](const Tensor& d) { return (-d / (2 * s)).exp(); };
  const auto pairs = static_cast<double>(n * (n - 1));
  const auto off_diagonal = [&](const Tensor& d) { return (kernel(d).sum() - static_cast<double>(n)) / pairs; };
  return off_diagonal(xx) + off_diagonal(yy) - 2 * kernel(xy).mean();
}

}  // namespace gibbsite
