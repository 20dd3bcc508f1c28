#include <gibbsite/core/random.h>
#include <gibbsite/data/near_duplicates.h>
#include <gtest/gtest.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

using Columns = std::vector<std::int64_t>;

TEST(NearDuplicates, TheFirstOneGoesByAbsoluteCorrelationAndThenBySigned) {
  const Tensor x = Rng(1, "x").normal({400, 3}, torch::kDouble);
  const Tensor noise = 0.05 * Rng(2, "x").normal({400, 2}, torch::kDouble);
  // Columns 0, 3 and 4 are nearly copies of one another, 2 and 5 an exactly negative pair.
  const Tensor a = x.select(1, 0), b = x.select(1, 1), c = x.select(1, 2);
  const Tensor table = torch::stack({a, b, c, 3 * a + noise.select(1, 0), a - noise.select(1, 1), -c}, 1);
  // The first pass drops 0, the second 3; the pair 2 and 5 is negative, which only the first pass would mind.
  EXPECT_EQ(without_near_duplicates(table, 0.98), (Columns{1, 2, 4, 5}));
  EXPECT_EQ(without_near_duplicates(table, 0.9999999), (Columns{0, 1, 3, 4, 5}));
  EXPECT_EQ(without_near_duplicates(x, 0.98), (Columns{0, 1, 2}));
}

}  // namespace
}  // namespace gibbsite
