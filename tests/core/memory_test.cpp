#include <gibbsite/core/memory.h>
#include <gibbsite/core/tensor.h>
#include <gtest/gtest.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

constexpr std::int64_t kMiB = 1 << 20;
Tensor mebibytes(std::int64_t n) { return torch::empty({n * kMiB}, torch::kByte); }

TEST(PeakMemory, CountsWhatLivesAtOnce) {
  const Tensor before = mebibytes(8);
  const PeakMemory memory;
  EXPECT_EQ(memory.current_bytes(), 0);
  {
    const Tensor a = mebibytes(3);
    { const Tensor b = mebibytes(2); }
    const Tensor c = mebibytes(1);
    EXPECT_EQ(memory.current_bytes(), 4 * kMiB);
  }
  EXPECT_EQ(memory.current_bytes(), 0);
  EXPECT_EQ(memory.peak_bytes(), 5 * kMiB);
}

TEST(PeakMemory, IgnoresTheReleaseOfWhatItDidNotSee) {
  Tensor before = mebibytes(4);
  const PeakMemory memory;
  before.reset();
  const Tensor after = mebibytes(1);
  EXPECT_EQ(memory.current_bytes(), kMiB);
  EXPECT_EQ(memory.peak_bytes(), kMiB);
}

// A block that outlives its scope, is released unseen, and whose address is handed out again.
TEST(PeakMemory, IsNotFooledByAddressesOfEarlierScopes) {
  Tensor kept;
  {
    const PeakMemory memory;
    kept = mebibytes(2);
  }
  kept.reset();
  Tensor again = mebibytes(2);
  const PeakMemory memory;
  again.reset();
  EXPECT_EQ(memory.current_bytes(), 0);
  const Tensor fresh = mebibytes(2);
  EXPECT_EQ(memory.current_bytes(), 2 * kMiB);
}

TEST(PeakMemory, ScopesNestAndPeaksRestart) {
  PeakMemory outer;
  {
    const PeakMemory inner;
    const Tensor a = mebibytes(2);
    EXPECT_EQ(inner.peak_bytes(), 2 * kMiB);
  }
  EXPECT_EQ(outer.peak_bytes(), 2 * kMiB);
  EXPECT_EQ(outer.current_bytes(), 0);
  outer.reset_peak();
  const Tensor b = mebibytes(1);
  EXPECT_EQ(outer.peak_bytes(), kMiB);
}

TEST(PeakMemory, SeesTheBackwardPass) {
  const Tensor x = torch::ones({kMiB}, torch::kFloat).requires_grad_();
  const PeakMemory memory;
  {
    const Tensor y = x.exp().sin().sum();  // saves exp(x): 4 MiB, and keeps sin's input: the same
    EXPECT_EQ(memory.current_bytes(), 4 * kMiB + 4);
    y.backward();
  }
  EXPECT_EQ(memory.current_bytes(), 4 * kMiB) << "the gradient of x";
  EXPECT_GE(memory.peak_bytes(), 12 * kMiB);
}

TEST(PeakMemory, ResidentBytesAreThere) { EXPECT_GT(resident_bytes(), kMiB); }

}  // namespace
}  // namespace gibbsite
