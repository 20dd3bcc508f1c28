#include <gibbsite/train/ema.h>
#include <gtest/gtest.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

TEST(Ema, FollowsItsRecursionAndSwapsBitForBit) {
  Tensor p = torch::tensor({1.0, -2.0}, torch::kDouble).requires_grad_();
  Ema ema({{"p", p}}, 0.75);
  double average = 1;
  for (int t = 1; t <= 5; ++t) {
    p.data().add_(t);
    ema.update();
    average = 0.75 * average + 0.25 * p[0].item<double>();
  }
  EXPECT_NEAR(ema.state()[0].second[0].item<double>(), average, 1e-14);
  const Tensor before = p.detach().clone(), averaged = ema.state()[0].second.clone();
  {
    const EmaScope scope(&ema);
    EXPECT_TRUE(torch::equal(p.detach(), averaged));
  }
  EXPECT_TRUE(torch::equal(p.detach(), before));
  EXPECT_TRUE(torch::equal(ema.state()[0].second, averaged));
  EXPECT_TRUE(p.requires_grad());
  const EmaScope none(nullptr);
}

}  // namespace
}  // namespace gibbsite
