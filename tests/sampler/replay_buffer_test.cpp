#include <gibbsite/core/error.h>
#include <gibbsite/sampler/replay_buffer.h>
#include <sampler/gaussians.h>

#include <set>

namespace gibbsite {
namespace {

Tensor like() { return torch::empty({1, 2}); }

// Fresh starts are negative, so that a state tells where it came from.
Tensor negative(std::int64_t rows, Rng& rng) { return -rng.uniform({rows, 2}) - 1; }

ReplayOptions options(const std::string& draw, const std::string& write, const std::string& fresh,
                      std::int64_t capacity, double probability) {
  ReplayOptions result;
  result.draw = draw;
  result.write = write;
  result.fresh = fresh;
  result.capacity = capacity;
  result.probability = probability;
  return result;
}

std::vector<std::int64_t> slots(const ReplayDraw& draw) {
  return {draw.slot.data_ptr<std::int64_t>(), draw.slot.data_ptr<std::int64_t>() + draw.slot.numel()};
}

std::size_t distinct_rows(const Tensor& x) {
  return static_cast<std::size_t>(std::get<0>(torch::unique_dim(x, 0)).size(0));
}

TEST(ReplayBuffer, StartsFromTheDrawnSlotsOrFresh) {
  for (const std::string draw : {"with", "without"})
    for (const std::string write : {"slots", "append"})
      for (const std::string fresh : {"per_chain", "binomial"}) {
        const ReplayBuffer buffer(options(draw, write, fresh, 64, 0.6), negative, Rng(1, "buffer"), like());
        const Tensor contents = buffer.contents();
        const ReplayDraw drawn = buffer.draw(40, Rng(2, "train"));
        std::int64_t reused = 0, reused_after_fresh = 0;
        for (std::int64_t b = 0; b < 40; ++b) {
          const std::int64_t slot = drawn.slot[b].item<std::int64_t>();
          if (drawn.reused[b].item<bool>()) {
            ++reused;
            reused_after_fresh += reused != b + 1;
            EXPECT_TRUE(torch::equal(drawn.x[b], contents[slot]));
          } else {
            EXPECT_FALSE((contents == drawn.x[b]).all(1).any().item<bool>());
            EXPECT_EQ(slot >= 0, write == "slots");
          }
        }
        EXPECT_GT(reused, 10);
        EXPECT_LT(reused, 38);
        EXPECT_EQ(reused_after_fresh == 0, fresh == "binomial");
      }
}

TEST(ReplayBuffer, DrawsSlotsAndReuseWithTheirProbabilities) {
  for (const std::string draw : {"with", "without"})
    for (const std::string fresh : {"per_chain", "binomial"}) {
      const ReplayBuffer buffer(options(draw, "slots", fresh, 10, 0.3), negative, Rng(1, "buffer"), like());
      const int n = 4000, rows = 5;
      std::vector<double> counts(10);
      double reused = 0, reused_squares = 0;
      for (int step = 0; step < n; ++step) {
        const ReplayDraw drawn = buffer.draw(rows, Rng(2, "train").at_step(static_cast<std::uint64_t>(step)));
        for (const std::int64_t slot : slots(drawn)) ++counts[static_cast<std::size_t>(slot)];
        const double k = drawn.reused.sum().item<double>();
        reused += k;
        reused_squares += k * k;
      }
      // A slot's count is at most as variable as a binomial one: 20000 draws, probability 1/10.
      for (const double count : counts) EXPECT_NEAR(count, 2000, 4 * std::sqrt(20000 * 0.09));
      const double mean = reused / n, variance = reused_squares / n - mean * mean;
      EXPECT_NEAR(mean, 1.5, 4 * std::sqrt(1.05 / n));
      EXPECT_NEAR(variance, 5 * 0.3 * 0.7, 4 * 1.05 * std::sqrt(2.0 / n));  // binomial in both forms
    }
}

TEST(ReplayBuffer, WithoutReplacementNoTwoChainsShareASlot) {
  for (const std::string write : {"slots", "append"}) {
    const ReplayBuffer buffer(options("without", write, "per_chain", 50, 1), negative, Rng(1, "buffer"), like());
    for (std::uint64_t step = 0; step < 100; ++step) {
      const std::vector<std::int64_t> drawn = slots(buffer.draw(50, Rng(2, "train").at_step(step)));
      EXPECT_EQ(std::set<std::int64_t>(drawn.begin(), drawn.end()).size(), 50u);
    }
    const ReplayDraw many =
        ReplayBuffer(options("without", "append", "per_chain", 50, 1), negative, Rng(1, "buffer"), like())
            .draw(60, Rng(3, "train"));
    EXPECT_EQ(many.reused.sum().item<std::int64_t>(), 50);  // the rest of the batch starts fresh
  }
  const ReplayBuffer small(options("without", "slots", "per_chain", 4, 1), negative, Rng(1, "buffer"), like());
  EXPECT_THROW(small.draw(5, Rng(2, "train")), RequestError);
}

TEST(ReplayBuffer, OfSeveralWritesToOneSlotTheLastStays) {
  ReplayBuffer buffer(options("with", "slots", "per_chain", 5, 0.5), negative, Rng(1, "buffer"), like());
  const Tensor before = buffer.contents().clone();
  ReplayDraw drawn = buffer.draw(4, Rng(2, "train"));
  drawn.slot = torch::tensor({3, 1, 3, 3}, torch::kLong);
  const Tensor ends = torch::arange(8, torch::kFloat).view({4, 2});
  buffer.write(drawn, ends);
  EXPECT_TRUE(torch::equal(buffer.contents()[3], ends[3]));
  EXPECT_TRUE(torch::equal(buffer.contents()[1], ends[1]));
  for (const int kept : {0, 2, 4}) EXPECT_TRUE(torch::equal(buffer.contents()[kept], before[kept]));
}

TEST(ReplayBuffer, ChainsNeverCollapse) {
  for (const std::string draw : {"with", "without"})
    for (const std::string write : {"slots", "append"}) {
      ReplayBuffer buffer(options(draw, write, "per_chain", 30, 0.95), negative, Rng(1, "buffer"), like());
      EXPECT_EQ(distinct_rows(buffer.contents()), 30u);
      for (std::uint64_t step = 0; step < 200; ++step) {
        Rng rng = Rng(2, "train").at_step(step);
        const ReplayDraw drawn = buffer.draw(25, rng);
        buffer.write(drawn, drawn.x + 0.1 * rng.normal(drawn.x.sizes(), drawn.x));
        ASSERT_EQ(distinct_rows(buffer.contents()), 30u) << draw << " " << write << " " << step;
      }
    }
}

TEST(ReplayBuffer, AppendReplacesTheOldest) {
  ReplayOptions append = options("with", "append", "per_chain", 5, 1);
  append.prefill = false;
  ReplayBuffer buffer(append, negative, Rng(1, "buffer"), like());
  EXPECT_EQ(buffer.size(), 0);
  const ReplayDraw empty = buffer.draw(3, Rng(2, "train"));
  EXPECT_EQ(empty.reused.sum().item<std::int64_t>(), 0);
  EXPECT_TRUE((empty.x < 0).all().item<bool>());
  const auto rows = [](std::initializer_list<float> values) {
    const Tensor column = torch::tensor(std::vector<float>(values)).unsqueeze(1);
    return torch::cat({column, column}, 1);
  };
  buffer.write(empty, rows({1, 2, 3}));
  EXPECT_EQ(buffer.size(), 3);
  EXPECT_TRUE(torch::equal(buffer.contents(), rows({1, 2, 3})));
  const ReplayDraw partly = buffer.draw(3, Rng(3, "train"));
  EXPECT_TRUE((partly.x > 0).all().item<bool>());  // from the three that are there, never from unused slots
  buffer.write(partly, rows({4, 5, 6}));
  EXPECT_TRUE(torch::equal(buffer.contents(), rows({6, 2, 3, 4, 5})));
  buffer.write(buffer.draw(7, Rng(4, "train")), rows({10, 11, 12, 13, 14, 15, 16}));
  EXPECT_TRUE(torch::equal(buffer.contents(), rows({16, 12, 13, 14, 15})));
  append.write = "slots";
  EXPECT_THROW(ReplayBuffer(append, negative, Rng(1, "buffer"), like()), RequestError);
}

TEST(ReplayBuffer, ARestoredBufferDrawsAndWritesTheSame) {
  for (const std::string write : {"slots", "append"}) {
    ReplayOptions settings = options("with", write, "per_chain", 40, 0.8);
    settings.prefill = write == "slots";
    ReplayBuffer original(settings, negative, Rng(1, "buffer"), like());
    const auto train = [](ReplayBuffer& buffer, std::uint64_t step) {
      Rng rng = Rng(2, "train").at_step(step);
      const ReplayDraw drawn = buffer.draw(7, rng);
      buffer.write(drawn, drawn.x + rng.normal(drawn.x.sizes(), drawn.x));
      return drawn.x;
    };
    for (std::uint64_t step = 0; step < 4; ++step) train(original, step);
    const NamedTensors saved = original.state();
    ReplayBuffer restored(settings, negative, Rng(99, "other"), like());
    for (std::uint64_t step = 4; step < 12; ++step) {
      if (step == 4) restored.restore(saved);
      EXPECT_TRUE(torch::equal(train(original, step), train(restored, step))) << write << " " << step;
    }
    EXPECT_TRUE(torch::equal(original.contents(), restored.contents()));
    settings.capacity = 20;
    ReplayBuffer smaller(settings, negative, Rng(1, "buffer"), like());
    EXPECT_THROW(smaller.restore(saved), WorkError);
    EXPECT_THROW(original.restore({}), WorkError);
  }
}

TEST(ReplayBuffer, TheProbabilityMayBeRamped) {
  ReplayBuffer buffer(options("with", "slots", "per_chain", 8, 0.95), negative, Rng(1, "buffer"), like());
  buffer.set_probability(0);
  EXPECT_EQ(buffer.draw(100, Rng(2, "train")).reused.sum().item<std::int64_t>(), 0);
  buffer.set_probability(1);
  EXPECT_EQ(buffer.draw(100, Rng(2, "train")).reused.sum().item<std::int64_t>(), 100);
  EXPECT_THROW(buffer.set_probability(1.5), RequestError);
  EXPECT_THROW(ReplayBuffer(options("sometimes", "slots", "per_chain", 8, 0.5), negative, Rng(1, "buffer"), like()),
               RequestError);
}

}  // namespace
}  // namespace gibbsite
