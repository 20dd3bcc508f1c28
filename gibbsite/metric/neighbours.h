// Nearest neighbours in a space of features: whether what lies near is of the same class, and whether samples repeat the data.
#pragma once

#include <gibbsite/core/tensor.h>
#include <gibbsite/metric/estimate.h>

namespace gibbsite {

struct Neighbours {
  Tensor index;     ///< [N, k] int64, rows of the base, the nearest first
  Tensor distance;  ///< [N, k], Euclidean
};

/// queries: [N, *features], base: [M, *features], k <= M. By blocks of matrix products, in float32 with distances of the chosen
/// taken again without cancellation.
Neighbours nearest_neighbours(const Tensor& queries, const Tensor& base, std::int64_t k);

struct NeighbourClasses {
  Estimate
      same;  ///< mean over classes of the share of queries whose neighbours agree with them most often (k = 1: have their class)
  Tensor confusion;  ///< [C, C] float64: rows true classes, columns those of the neighbours; rows sum to one
};

/// query_labels: [N] int64, neighbour_labels: [N, k] int64 of the neighbours, the nearest first; the most frequent class counts,
/// among equals that of the nearest. Every class needs a query.
NeighbourClasses neighbour_classes(const Tensor& query_labels, const Tensor& neighbour_labels, std::int64_t classes);

}  // namespace gibbsite
