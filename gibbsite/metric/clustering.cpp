#include <gibbsite/core/error.h>
#include <gibbsite/metric/clustering.h>
#include <torch/types.h>

#include <algorithm>
#include <limits>
#include <vector>

namespace gibbsite {
namespace {

// The largest Σ_i gain[i][match(i)] over one-to-one matches of a square table, by shortest augmenting paths with potentials.
double best_matching(const std::vector<std::vector<double>>& gain) {
  const std::size_t n = gain.size();
  const double infinite = std::numeric_limits<double>::infinity();
  std::vector<double> u(n + 1), v(n + 1);
  std::vector<std::size_t> row_of(n + 1, 0), way(n + 1, 0);  // columns and rows from 1; 0 is the virtual one
  for (std::size_t i = 1; i <= n; ++i) {
    row_of[0] = i;
    std::size_t column = 0;
    std::vector<double> least(n + 1, infinite);
    std::vector<bool> seen(n + 1, false);
    do {
      seen[column] = true;
      const std::size_t row = row_of[column];
      double step = infinite;
      std::size_t next = 0;
      for (std::size_t j = 1; j <= n; ++j) {
        if (seen[j]) continue;
        const double reduced = -gain[row - 1][j - 1] - u[row] - v[j];
        if (reduced < least[j]) {
          least[j] = reduced;
          way[j] = column;
        }
        if (least[j] < step) {
          step = least[j];
          next = j;
        }
      }
      for (std::size_t j = 0; j <= n; ++j) {
        if (seen[j]) {
          u[row_of[j]] += step;
          v[j] -= step;
        } else {
          least[j] -= step;
        }
      }
      column = next;
    } while (row_of[column] != 0);
    while (column != 0) {
      row_of[column] = row_of[way[column]];
      column = way[column];
    }
  }
  double total = 0;
  for (std::size_t j = 1; j <= n; ++j) total += gain[row_of[j] - 1][j - 1];
  return total;
}

double entropy_of(const Tensor& shares) { return -at::xlogy(shares, shares).sum().item<double>(); }

}  // namespace

ClusterAgreement cluster_agreement(const Tensor& clusters, const Tensor& labels) {
  const Tensor a = clusters.to(torch::kLong).cpu(), b = labels.to(torch::kLong).cpu();
  if (a.dim() != 1 || a.sizes() != b.sizes() || a.size(0) == 0)
    throw WorkError("clusters", "expected clusters [N] and labels [N]");
  const std::int64_t rows = a.max().item<std::int64_t>() + 1, columns = b.max().item<std::int64_t>() + 1;
  const std::int64_t n = a.size(0), size = std::max(rows, columns);
  const Tensor counts = (a * size + b).bincount({}, size * size).to(torch::kDouble).view({size, size});
  std::vector<std::vector<double>> gain;
  for (std::int64_t i = 0; i < size; ++i) {
    const Tensor row = counts[i].contiguous();
    gain.emplace_back(row.data_ptr<double>(), row.data_ptr<double>() + size);
  }
  ClusterAgreement result;
  result.accuracy = share_estimate(static_cast<std::int64_t>(best_matching(gain)), n);
  const Tensor joint = counts / static_cast<double>(n);
  const double of_clusters = entropy_of(joint.sum(1)), of_classes = entropy_of(joint.sum(0));
  const double shared = of_clusters + of_classes - entropy_of(joint);
  result.information = of_clusters + of_classes > 0 ? 2 * shared / (of_clusters + of_classes) : 1;
  result.used = (counts.sum(1) > 0).sum().item<std::int64_t>();
  return result;
}

}  // namespace gibbsite
