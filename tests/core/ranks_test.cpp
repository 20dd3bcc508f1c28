#include <gibbsite/core/ranks.h>
#include <gtest/gtest.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

class Numbered : public Ranks {
 public:
  Numbered(std::int64_t rank, std::int64_t size) : rank_(rank), size_(size) {}
  std::int64_t rank() const override { return rank_; }
  std::int64_t size() const override { return size_; }

 private:
  std::int64_t rank_, size_;
};

TEST(Ranks, SharesAreEqualAndTileTheWhole) {
  std::int64_t next = 0;
  for (std::int64_t rank = 0; rank < 3; ++rank) {
    const RowShare own = own_rows(Numbered(rank, 3), 12, "-n");
    EXPECT_EQ(own.first, next);
    EXPECT_EQ(own.count, 4);
    next += own.count;
  }
  try {
    own_rows(Numbered(0, 3), 13, "-n");
    ADD_FAILURE();
  } catch (const RequestError& error) {
    EXPECT_STREQ(error.what(), "-n: is 13, which 3 ranks cannot share equally");
  }
}

TEST(Ranks, OneAloneKeepsWhatItHas) {
  Ranks alone;
  const Tensor x = torch::arange(3.0);
  alone.sum(x);
  alone.broadcast(x);
  EXPECT_TRUE(torch::equal(x, torch::arange(3.0)));
  EXPECT_TRUE(alone.gather(x).is_same(x));
  EXPECT_TRUE(broadcast(alone, {{"x", x}}).front().second.is_same(x));
  EXPECT_EQ(own_rows(alone, 13, "-n").count, 13);
}

// What rank 0 gives reaches one that has other names, dtypes and shapes, or nothing.
TEST(Ranks, BroadcastCarriesNamesDtypesAndShapes) {
  struct Tape : Numbered {
    using Numbered::Numbered;
    std::vector<Tensor>* tape = nullptr;
    std::size_t at = 0;
    void broadcast(const Tensor& x) override {
      if (rank() == 0)
        tape->push_back(x.clone());
      else
        x.copy_(tape->at(at++));
    }
  };
  std::vector<Tensor> tape;
  Tape first(0, 2), second(1, 2);
  first.tape = second.tape = &tape;
  const NamedTensors given = {{"a/ü", torch::full({}, 7, torch::kLong)},
                              {"empty", torch::empty({0, 3})},
                              {"flags", torch::tensor({true, false})},
                              {"x", torch::arange(6.0, torch::kDouble).view({2, 3}).t()}};
  broadcast(first, given);
  const NamedTensors got = broadcast(second, {});
  ASSERT_EQ(got.size(), given.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].first, given[i].first);
    EXPECT_EQ(got[i].second.scalar_type(), given[i].second.scalar_type());
    EXPECT_TRUE(torch::equal(got[i].second, given[i].second)) << got[i].first;
  }
}

}  // namespace
}  // namespace gibbsite
