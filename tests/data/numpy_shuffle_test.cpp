#include <gibbsite/data/numpy_shuffle.h>
#include <gtest/gtest.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

// Recorded from NumPy, as the protocol sheet of finite-difference score matching lists them (5.0).
TEST(NumpyShuffle, GivesTheOrdersOfNumpy) {
  struct Recorded {
    std::uint32_t seed;
    std::int64_t n;
    std::vector<std::int64_t> first, last;
  };
  for (const Recorded& recorded : {Recorded{2019, 1599, {20, 5, 1564, 657, 1048}, {1183, 370, 1096}},
                                   Recorded{2019, 5875, {5396, 2695, 575, 5174, 1518}, {3877, 3231, 2418}},
                                   Recorded{2020, 60000, {50916, 47, 45254, 19771, 34478}, {}},
                                   Recorded{2019, 60000, {35648, 37395, 50679, 11081, 12975}, {}}}) {
    const Tensor order = numpy_shuffle(recorded.seed, recorded.n);
    const auto first = static_cast<std::int64_t>(recorded.first.size());
    const auto last = static_cast<std::int64_t>(recorded.last.size());
    EXPECT_TRUE(torch::equal(order.slice(0, 0, first), torch::tensor(recorded.first, torch::kLong)));
    EXPECT_TRUE(torch::equal(order.slice(0, recorded.n - last), torch::tensor(recorded.last, torch::kLong)));
    EXPECT_TRUE(torch::equal(std::get<0>(order.sort()), torch::arange(recorded.n)));
  }
  EXPECT_EQ(numpy_shuffle(1, 0).numel(), 0);
  EXPECT_EQ(numpy_shuffle(1, 1)[0].item<int>(), 0);
}

}  // namespace
}  // namespace gibbsite
