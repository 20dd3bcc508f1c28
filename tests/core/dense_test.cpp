#include <gibbsite/core/dense.h>
#include <gtest/gtest.h>

namespace gibbsite {
namespace {

TEST(DenseBytes, NothingWhereNoFileCouldHoldIt) {
  EXPECT_EQ(dense_bytes({}, 8), 8u);
  EXPECT_EQ(dense_bytes({2, 3}, 4), 24u);
  EXPECT_EQ(dense_bytes({5, 0, 7}, 4), 0u);
  EXPECT_EQ(dense_bytes({std::int64_t{1} << 60}, 4), std::uint64_t{1} << 62);
  EXPECT_FALSE(dense_bytes({-1}, 4));
  EXPECT_FALSE(dense_bytes({0, -1}, 4));
  EXPECT_FALSE(dense_bytes({std::int64_t{1} << 61}, 4));
  // Strides of empty arrays are products too.
  EXPECT_FALSE(dense_bytes({0, std::int64_t{1} << 40, std::int64_t{1} << 40}, 1));
}

}  // namespace
}  // namespace gibbsite
