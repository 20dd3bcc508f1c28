#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/metric/neighbours.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace gibbsite {

Neighbours nearest_neighbours(const Tensor& queries, const Tensor& base, std::int64_t k) {
  const Tensor q = queries.flatten(1).to(torch::kFloat), b = base.flatten(1).to(torch::kFloat);
  if (q.size(1) != b.size(1)) throw WorkError("neighbours", "queries and base differ in shape");
  if (k < 1 || k > b.size(0)) throw RequestError("neighbours", fmt::format("{} of {} points", k, b.size(0)));
  const Tensor centre = b.mean(0), rows = b - centre, squares = rows.square().sum(1);
  constexpr std::int64_t kBlock = 512;
  Neighbours found;
  std::vector<Tensor> index, distance;
  for (std::int64_t first = 0; first < q.size(0); first += kBlock) {
    const Tensor block = q.narrow(0, first, std::min(kBlock, q.size(0) - first));
    const Tensor near = std::get<1>((squares - 2 * at::mm(block - centre, rows.t())).topk(k, 1, false));
    index.push_back(near);
    const Tensor chosen = b.index_select(0, near.flatten()).view({block.size(0), k, -1});
    distance.push_back((chosen - block.unsqueeze(1)).square().sum(2).sqrt());
  }
  return {torch::cat(index), torch::cat(distance)};
}

NeighbourClasses neighbour_classes(const Tensor& query_labels, const Tensor& neighbour_labels, std::int64_t classes) {
  const Tensor truth = query_labels.to(torch::kLong).cpu(), votes = neighbour_labels.to(torch::kLong).cpu();
  if (votes.dim() != 2 || truth.size(0) != votes.size(0)) throw WorkError("neighbours", "labels do not fit");
  // A vote of the nearest counts a little more, and so on down, which decides among equals.
  const std::int64_t k = votes.size(1);
  const Tensor weight = 1 - 1e-3 * at::arange(k, torch::kDouble) / static_cast<double>(k);
  const Tensor tally = torch::zeros({votes.size(0), classes}, torch::kDouble)
                           .scatter_add(1, votes, weight.expand({votes.size(0), k}).contiguous());
  const Tensor answer = tally.argmax(1);
  Tensor counts = torch::zeros({classes * classes}, torch::kDouble);
  counts.scatter_add_(0, truth * classes + answer, torch::ones({truth.size(0)}, torch::kDouble));
  counts = counts.view({classes, classes});
  const Tensor of_class = counts.sum(1, true);
  if (of_class.min().item<double>() == 0) throw WorkError("neighbours", "a class has no query");
  NeighbourClasses result;
  result.confusion = counts / of_class;
  const Tensor share = result.confusion.diagonal();
  result.same.value = share.mean().item<double>();
  result.same.standard_error =
      std::sqrt((share * (1 - share) / of_class.squeeze(1)).sum().item<double>()) / static_cast<double>(classes);
  result.same.count = truth.size(0);
  return result;
}

}  // namespace gibbsite
