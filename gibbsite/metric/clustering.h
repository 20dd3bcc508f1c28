// How well a division into clusters agrees with classes that it was not told.
#pragma once

#include <gibbsite/core/tensor.h>
#include <gibbsite/metric/estimate.h>

namespace gibbsite {

struct ClusterAgreement {
  Estimate accuracy;  ///< share of points in the class their cluster is matched with, one to one, as well as can be
  double information = 0;  ///< normalised mutual information, 2 I / (H(clusters) + H(classes)), in [0, 1]
  std::int64_t used = 0;   ///< clusters with points
};

/// clusters and labels: [N] int64 from 0. The matching is the best there is (Kuhn 1955).
ClusterAgreement cluster_agreement(const Tensor& clusters, const Tensor& labels);

}  // namespace gibbsite
