#include <gibbsite/core/error.h>
#include <gibbsite/core/random.h>
#include <gibbsite/metric/clustering.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace gibbsite {
namespace {

TEST(ClusterAgreement, IsWholeForRenamedClasses) {
  const Tensor labels = at::arange(60).remainder(4), renamed = (labels + 2).remainder(4);
  const ClusterAgreement same = cluster_agreement(renamed, labels);
  EXPECT_EQ(same.accuracy.value, 1);
  EXPECT_NEAR(same.information, 1, 1e-12);
  EXPECT_EQ(same.used, 4);
  const ClusterAgreement one = cluster_agreement(torch::zeros_like(labels), labels);
  EXPECT_EQ(one.accuracy.value, 0.25);
  EXPECT_NEAR(one.information, 0, 1e-12);
}

TEST(ClusterAgreement, MatchesAsWellAsTheBestOfAllPermutations) {
  Rng rng(1, "clusters");
  const Tensor like = torch::empty({}, torch::kDouble);
  for (int trial = 0; trial < 20; ++trial) {
    const Tensor labels = (5 * rng.uniform({200}, like)).to(torch::kLong);
    // Clusters that follow the classes in part, and one more than there are classes.
    const Tensor keep = rng.uniform({200}, like) < 0.5;
    const Tensor clusters = at::where(keep, (labels * 2).remainder(6), (6 * rng.uniform({200}, like)).to(torch::kLong));
    std::vector<std::int64_t> order(6);
    std::iota(order.begin(), order.end(), 0);
    std::int64_t best = 0;
    do {
      const Tensor named = at::tensor(order, torch::kLong).index_select(0, clusters);
      best = std::max(best, named.eq(labels).sum().item<std::int64_t>());
    } while (std::next_permutation(order.begin(), order.end()));
    EXPECT_NEAR(cluster_agreement(clusters, labels).accuracy.value, static_cast<double>(best) / 200, 1e-12);
  }
}

TEST(ClusterAgreement, InformationByHand) {
  const Tensor clusters = at::tensor({0, 0, 1, 1}, torch::kLong), labels = at::tensor({0, 0, 0, 1}, torch::kLong);
  const double of_clusters = std::log(2.0), of_labels = -0.75 * std::log(0.75) - 0.25 * std::log(0.25);
  const double both = 0.5 * std::log(2.0) + 0.5 * std::log(4.0);
  EXPECT_NEAR(cluster_agreement(clusters, labels).information,
              2 * (of_clusters + of_labels - both) / (of_clusters + of_labels), 1e-12);
  EXPECT_THROW(cluster_agreement(clusters, labels.narrow(0, 0, 2)), WorkError);
}

}  // namespace
}  // namespace gibbsite
