#include <Random123/philox.h>
#include <gibbsite/core/random.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <utility>
#include <vector>

namespace gibbsite {
namespace {

TEST(Rng, SameNumbersForAnyBatchSplit) {
  for (const int width : {1, 3, 4, 7, 784}) {
    Rng whole(7, "noise");
    const Tensor all = whole.at_step(3).normal({10, width});
    for (const int cut : {1, 4, 9}) {
      const Tensor head = Rng(7, "noise").at_step(3).normal({cut, width});
      const Tensor tail = Rng(7, "noise").at_step(3).at_row(cut).normal({10 - cut, width});
      EXPECT_TRUE(torch::equal(all, torch::cat({head, tail}))) << width << " " << cut;
    }
  }
}

TEST(Rng, WordsAreThoseOfRandom123) {
  // Integers below 2^32 are the words themselves.
  const Rng rng(3, "words");
  const std::uint64_t step = 0x123456789aULL;
  const std::int64_t rows = 300, per_row = 12;
  Rng drawn = rng.at_step(step).at_row(70);
  const Tensor words = drawn.integers({rows, per_row}, std::int64_t{1} << 32);
  const auto* word = words.data_ptr<std::int64_t>();
  r123::Philox4x32 philox;
  const std::uint64_t key = stream_key(3, "words");
  for (std::uint32_t r = 0; r < rows; ++r)
    for (std::uint32_t b = 0; b < per_row / 4; ++b) {
      const auto block = philox({{b, 70 + r, static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(step >> 32)}},
                                {{static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)}});
      for (std::uint32_t k = 0; k < 4; ++k)
        ASSERT_EQ(word[r * per_row + 4 * b + k], static_cast<std::int64_t>(block[k])) << r << " " << b << " " << k;
    }
}

TEST(Rng, MemoryAtHandGetsTheNumbersOfATensor) {
  for (const std::int64_t width : {1, 2, 3, 4, 6, 7, 784}) {
    Rng tensor(7, "noise"), memory(7, "noise");
    const Tensor expected = tensor.normal({33, width});
    std::vector<float> numbers(static_cast<std::size_t>(33 * width));
    memory.normal(numbers.data(), 33, width);
    EXPECT_TRUE(torch::equal(torch::tensor(numbers).view({33, width}), expected)) << width;
    Rng passed_over(7, "noise");
    passed_over.normal(nullptr, 0, width);
    const Tensor next = tensor.normal({2, 5});
    EXPECT_TRUE(torch::equal(memory.normal({2, 5}), next));
    EXPECT_TRUE(torch::equal(passed_over.normal({2, 5}), next));
  }
}

TEST(Rng, StreamsStepsRowsAndCallsDiffer) {
  Rng rng(1, "a");
  const Tensor first = rng.uniform({4, 4});
  const Tensor second = rng.uniform({4, 4});
  EXPECT_FALSE(torch::equal(first, second));
  EXPECT_FALSE(torch::equal(first, Rng(1, "b").uniform({4, 4})));
  EXPECT_FALSE(torch::equal(first, Rng(2, "a").uniform({4, 4})));
  EXPECT_FALSE(torch::equal(first, Rng(1, "a").at_step(1).uniform({4, 4})));
  EXPECT_TRUE(torch::equal(first, Rng(1, "a").uniform({4, 4})));
  EXPECT_TRUE(torch::equal(second, Rng(1, "a").uniform({4, 8}).slice(1, 4, 8)));
}

TEST(Rng, ParticlesOfAnExampleLieInItsRow) {
  Rng rng(5, "particles");
  const Tensor particles = rng.normal_particles({3, 2, 4}, torch::empty({1}));
  const Tensor rows = Rng(5, "particles").normal({2, 12});
  for (int l = 0; l < 3; ++l)
    for (int b = 0; b < 2; ++b) EXPECT_TRUE(torch::equal(particles[l][b], rows[b].slice(0, 4 * l, 4 * l + 4)));
}

TEST(Rng, NormalsFollowLibmAndTheVectorFormIsTheScalarForm) {
  const int pairs = 4096;
  std::vector<std::uint32_t> words(2 * pairs);
  r123::Philox4x32 philox;
  for (std::uint32_t i = 0; i < words.size() / 4; ++i) {
    const auto block = philox({{i, 0, 0, 0}}, {{1, 2}});
    for (int k = 0; k < 4; ++k) words[4 * i + static_cast<unsigned>(k)] = block[static_cast<unsigned>(k)];
  }
  words[0] = 0;            // smallest uniform
  words[2] = 0xffffffffu;  // uniform exactly one
  std::vector<float> vector_form(words.size()), scalar_form(words.size());
  box_muller(words.data(), vector_form.data(), pairs);
  for (int i = 0; i < pairs; ++i)
    box_muller(&words[2 * static_cast<unsigned>(i)], &scalar_form[2 * static_cast<unsigned>(i)], 1);
  for (std::size_t i = 0; i < words.size(); i += 2) {
    EXPECT_EQ(vector_form[i], scalar_form[i]);
    EXPECT_EQ(vector_form[i + 1], scalar_form[i + 1]);
    const double u = (static_cast<double>(words[i] >> 8) + 1) / 16777216.0;
    const double angle = 2 * M_PI * static_cast<double>(words[i + 1] >> 8) / 16777216.0;
    const double radius = std::sqrt(-2 * std::log(u));
    EXPECT_NEAR(vector_form[i], radius * std::cos(angle), 2e-6);
    EXPECT_NEAR(vector_form[i + 1], radius * std::sin(angle), 2e-6);
  }
}

TEST(Rng, MomentsWithinFourStandardErrors) {
  const std::int64_t n = 1000000;
  const Tensor z = Rng(11, "moments").normal({n / 10, 10}, torch::kDouble);
  EXPECT_NEAR(z.mean().item<double>(), 0, 4 / std::sqrt(n));
  EXPECT_NEAR(z.square().mean().item<double>(), 1, 4 * std::sqrt(2.0 / n));
  EXPECT_NEAR(z.pow(3).mean().item<double>(), 0, 4 * std::sqrt(15.0 / n));
  EXPECT_NEAR(z.pow(4).mean().item<double>(), 3, 4 * std::sqrt(96.0 / n));
  const Tensor u = Rng(11, "uniform").uniform({n / 10, 10}, torch::kDouble);
  EXPECT_GT(u.min().item<double>(), 0);
  EXPECT_LE(u.max().item<double>(), 1);
  EXPECT_NEAR(u.mean().item<double>(), 0.5, 4 * std::sqrt(1.0 / 12 / n));
  const Tensor s = Rng(11, "sign").rademacher({n / 10, 10}, torch::empty({1}, torch::kDouble));
  EXPECT_TRUE((s.abs() == 1).all().item<bool>());
  EXPECT_NEAR(s.mean().item<double>(), 0, 4 / std::sqrt(n));
  EXPECT_NEAR((z.slice(1, 0, 9) * z.slice(1, 1, 10)).mean().item<double>(), 0, 4 / std::sqrt(0.9 * n));
}

// Kolmogorov and Smirnov's distance on a grid of 1e-3, at 10⁸ draws, with the limit that a right generator passes but once in
// 10⁵ runs; and how many lie beyond 3, 4 and 5, where the radius comes from the smallest uniforms.
TEST(Rng, NormalsHaveTheirLawIntoTheTails) {
  constexpr std::int64_t kRows = 100000, kPerRow = 10, kSteps = 100, kCells = 12000;
  constexpr double kReach = 6, kLimit = 2.47;
  const auto law = [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); };
  std::vector<std::int64_t> counts(kCells + 1);
  std::vector<float> draws(kRows * kPerRow);
  for (std::int64_t step = 0; step < kSteps; ++step) {
    Rng rng = Rng(12, "tails").at_step(static_cast<std::uint64_t>(step));
    rng.normal(draws.data(), kRows, kPerRow);
    for (const float z : draws)
      ++counts[static_cast<std::size_t>((static_cast<double>(z) + kReach) * (kCells / (2 * kReach)))];
  }
  constexpr double kDraws = static_cast<double>(kRows * kPerRow * kSteps);
  double distance = 0, below = 0;
  std::map<int, double> outside;
  for (std::int64_t cell = 0; cell < kCells; ++cell) {
    below += static_cast<double>(counts[static_cast<std::size_t>(cell)]);
    const double edge = -kReach + static_cast<double>(cell + 1) * (2 * kReach / kCells);
    distance = std::max(distance, std::abs(below / kDraws - law(edge)));
    for (const int limit : {3, 4, 5}) {
      if (std::lround(edge * 1000) == -limit * 1000) outside[limit] += below;
      if (std::lround(edge * 1000) == limit * 1000) outside[limit] += kDraws - below;
    }
  }
  EXPECT_LT(distance * std::sqrt(kDraws), kLimit);
  for (const int limit : {3, 4, 5}) {
    const double expected = 2 * law(-limit) * kDraws;
    EXPECT_NEAR(outside[limit], expected, 4 * std::sqrt(expected)) << limit;
  }
}

// Numbers, their squares and their signs next to one another in a row, in a column, in steps and in streams.
TEST(Rng, NeighboursAreIndependent) {
  constexpr std::int64_t kRows = 1000000;
  const auto draw = [](const char* stream, std::uint64_t step) {
    return Rng(13, stream).at_step(step).normal({kRows, 4}, torch::kDouble);
  };
  const Tensor here = draw("here", 5);
  const auto expect_none = [](const Tensor& a, const Tensor& b, const char* what) {
    const std::pair<const char*, std::function<Tensor(const Tensor&)>> views[] = {
        {"numbers", [](const Tensor& x) { return x; }},
        {"squares", [](const Tensor& x) { return x.square(); }},
        {"signs", [](const Tensor& x) { return x.sign(); }}};
    for (const auto& [name, view] : views) {
      const Tensor u = view(a) - view(a).mean(), v = view(b) - view(b).mean();
      const double correlation = ((u * v).mean() / (u.square().mean() * v.square().mean()).sqrt()).item<double>();
      EXPECT_LT(std::abs(correlation) * std::sqrt(static_cast<double>(a.numel())), 4) << what << ", " << name;
    }
  };
  for (std::int64_t column = 1; column < 4; ++column) expect_none(here.select(1, 0), here.select(1, column), "columns");
  expect_none(here.narrow(0, 0, kRows - 1).select(1, 1), here.narrow(0, 1, kRows - 1).select(1, 1), "rows");
  expect_none(here, draw("here", 6), "steps");
  expect_none(here, draw("there", 5), "streams");
}

TEST(Rng, IntegersAndPermutations) {
  const Tensor k = Rng(3, "integers").integers({60000, 3}, 6);
  EXPECT_EQ(k.min().item<std::int64_t>(), 0);
  EXPECT_EQ(k.max().item<std::int64_t>(), 5);
  const Tensor counts = torch::bincount(k.flatten());
  for (int i = 0; i < 6; ++i)
    EXPECT_NEAR(counts[i].item<double>(), 30000, 4 * std::sqrt(180000 * (1.0 / 6) * (5.0 / 6)));
  const Tensor p = Rng(3, "order").permutation(1000);
  EXPECT_TRUE(torch::equal(std::get<0>(p.sort()), torch::arange(1000)));
  EXPECT_FALSE(torch::equal(p, torch::arange(1000)));
}

// Forks differ from one another and from their stream, keep rows apart and repeat.
TEST(Rng, ForksAreStreamsOfTheirOwn) {
  Rng rng(1, "s");
  Rng first = rng.fork(), second = rng.fork();
  const Tensor a = first.normal({4, 2}), b = second.normal({4, 2}), own = rng.normal({4, 2});
  EXPECT_FALSE(torch::equal(a, b));
  EXPECT_FALSE(torch::equal(a, own));
  EXPECT_FALSE(torch::equal(b, own));
  Rng rows = Rng(1, "s").at_row(2);
  EXPECT_TRUE(torch::equal(rows.fork().normal({2, 2}), a.narrow(0, 2, 2)));
  Rng later = Rng(1, "s").at_step(1);
  EXPECT_FALSE(torch::equal(later.fork().normal({4, 2}), a));
}

}  // namespace
}  // namespace gibbsite
