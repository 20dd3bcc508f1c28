#include <gibbsite/calculus/kernel.h>
#include <gibbsite/core/error.h>
#include <gibbsite/metric/mmd.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {
namespace {

Tensor subset(const Tensor& x, std::int64_t points, Rng rng) {
  const Tensor rows = x.detach().to(at::kCPU, at::kDouble).flatten(1);
  if (rows.size(0) < 2) throw WorkError("mmd", "needs two points at least on each side");
  return rows.size(0) <= points ? rows : rows.index_select(0, rng.permutation(rows.size(0)).narrow(0, 0, points));
}

double median_distance(const Tensor& squares) {
  const std::int64_t n = squares.size(0);
  const Tensor pairs = at::triu_indices(n, n, 1);
  const double median = std::sqrt(squares.index({pairs[0], pairs[1]}).median().item<double>());
  return median > 0 ? median : 1;
}

// The estimate for every column of membership (1 for the first group, 0 for the second), [P]. The kernel matrix has a
// zero diagonal, so that plain sums leave out equal pairs.
Tensor unbiased_squares(const Tensor& kernel, const Tensor& membership, double n, double m) {
  const Tensor other = 1 - membership;
  const Tensor to_first = at::mm(kernel, membership);
  const Tensor to_second = at::mm(kernel, other);
  return (membership * to_first).sum(0) / (n * (n - 1)) + (other * to_second).sum(0) / (m * (m - 1)) -
         2 * (membership * to_second).sum(0) / (n * m);
}

}  // namespace

Mmd mmd(const Tensor& x, const Tensor& y, Rng rng, const MmdSettings& settings) {
  const Tensor a = subset(x, settings.points, rng.stream("first")),
               b = subset(y, settings.points, rng.stream("second"));
  if (a.size(1) != b.size(1)) throw RequestError("mmd", "the two sets have events of different size");
  const std::int64_t count_a = a.size(0), total = count_a + b.size(0);
  const double n = static_cast<double>(count_a), m = static_cast<double>(b.size(0));
  const Tensor points = at::cat({a, b}), squares = squared_distances(points, points);
  Mmd result;
  result.bandwidth = settings.bandwidth > 0 ? settings.bandwidth : median_distance(squares);
  const Tensor kernel = (squares / (-2 * result.bandwidth * result.bandwidth)).exp();
  kernel.fill_diagonal_(0);

  const Tensor membership = at::zeros({total, 1 + settings.permutations}, kernel.options());
  membership.narrow(0, 0, count_a).select(1, 0).fill_(1);
  Rng labels = rng.stream("labels");
  for (std::int64_t p = 1; p <= settings.permutations; ++p) {
    membership.select(1, p).index_fill_(0, labels.permutation(total).narrow(0, 0, count_a), 1);
  }
  const Tensor estimates = unbiased_squares(kernel, membership, n, m);
  result.squared.value = estimates[0].item<double>();
  result.squared.count = total;
  const Tensor relabelled = estimates.narrow(0, 1, settings.permutations);
  const std::int64_t as_large = relabelled.ge(result.squared.value).sum().item<std::int64_t>();
  result.p_value = static_cast<double>(1 + as_large) / static_cast<double>(1 + settings.permutations);

  // First-order variance from each point's own mean difference of kernels, plus the variance under relabelling, which is
  // what remains when the two laws agree and the first order vanishes.
  const Tensor within_a = kernel.narrow(0, 0, count_a).narrow(1, 0, count_a).sum(1) / (n - 1);
  const Tensor between_a = kernel.narrow(0, 0, count_a).narrow(1, count_a, total - count_a).mean(1);
  const Tensor within_b =
      kernel.narrow(0, count_a, total - count_a).narrow(1, count_a, total - count_a).sum(1) / (m - 1);
  const Tensor between_b = kernel.narrow(0, count_a, total - count_a).narrow(1, 0, count_a).mean(1);
  const double first_order =
      4 * ((within_a - between_a).var(true).item<double>() / n + (within_b - between_b).var(true).item<double>() / m);
  result.squared.standard_error = std::sqrt(first_order + relabelled.square().mean().item<double>());
  return result;
}

}  // namespace gibbsite
