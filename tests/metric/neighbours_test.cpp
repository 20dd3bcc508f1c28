#include <gibbsite/core/error.h>
#include <gibbsite/core/random.h>
#include <gibbsite/metric/neighbours.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

TEST(Neighbours, AreThoseOfTheFullTableOfDistances) {
  Rng rng(1, "neighbours");
  const at::TensorOptions doubles = torch::kDouble;
  // Far from the origin, where products alone cancel.
  const Tensor base = 100 + rng.normal({700, 3}, torch::empty({}, doubles));
  const Tensor queries = 100 + rng.normal({600, 3}, torch::empty({}, doubles));
  const Tensor all = (queries.unsqueeze(1) - base.unsqueeze(0)).square().sum(2).sqrt();
  const auto [distance, index] = all.topk(3, 1, false);
  const Neighbours found = nearest_neighbours(queries, base, 3);
  // float32 orders near ties differently, seldom.
  EXPECT_GT(found.index.eq(index).to(torch::kDouble).mean().item<double>(), 0.995);
  EXPECT_LT((found.distance - distance).abs().max().item<double>(), 1e-3);
  EXPECT_THROW(nearest_neighbours(queries, base, 701), RequestError);
  EXPECT_THROW(nearest_neighbours(queries, base.narrow(1, 0, 2), 1), WorkError);
}

TEST(NeighbourClasses, ByHand) {
  const Tensor truth = at::tensor({0, 0, 0, 1}, torch::kLong);
  const Tensor near = at::tensor({0, 1, 1, 0, 1, 0, 1, 0, 2, 1, 2, 2}, torch::kLong).view({4, 3});
  const NeighbourClasses first = neighbour_classes(truth, near.narrow(1, 0, 1).clamp_max(1), 2);
  EXPECT_NEAR(first.same.value, (2.0 / 3 + 1) / 2, 1e-12);
  EXPECT_NEAR(first.same.standard_error, std::sqrt(2.0 / 9 / 3) / 2, 1e-12);
  EXPECT_TRUE(first.confusion.allclose(at::tensor({2.0 / 3, 1.0 / 3, 0.0, 1.0}, torch::kDouble).view({2, 2})));
  // Of three votes: 1 twice; 0 twice; all different, the nearest decides (1).
  const Tensor voted = at::tensor({0, 1, 1, 0, 1, 0, 1, 0, 2}, torch::kLong).view({3, 3});
  const NeighbourClasses three = neighbour_classes(at::tensor({0, 1, 2}, torch::kLong), voted, 3);
  EXPECT_TRUE(
      three.confusion.equal(at::tensor({0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0}, torch::kDouble).view({3, 3})));
  EXPECT_THROW(neighbour_classes(truth, voted, 3), WorkError);
}

}  // namespace
}  // namespace gibbsite
