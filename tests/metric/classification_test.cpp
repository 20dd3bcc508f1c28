#include <gibbsite/core/error.h>
#include <gibbsite/metric/classification.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

const at::TensorOptions doubles = at::TensorOptions().dtype(at::kDouble);

TEST(Accuracy, ByHand) {
  const Tensor scores = at::tensor({1.0, 2.0, 5.0, 4.0, 0.0, 1.0, 3.0, 2.0}, doubles).view({4, 2});
  const Tensor labels = at::tensor({1, 0, 0, 0}, at::TensorOptions().dtype(at::kLong));
  const Estimate result = accuracy(scores, labels);
  EXPECT_EQ(result.value, 0.75);
  EXPECT_EQ(result.count, 4);
  EXPECT_THROW(accuracy(scores, labels.narrow(0, 0, 3)), WorkError);
}

TEST(DigitCriterion, CountsConfidentSamplesAndTheirClasses) {
  const Tensor p = at::tensor({0.95, 0.03, 0.02,  //
                               0.90, 0.05, 0.05,  //
                               0.05, 0.05, 0.90,  //
                               0.10, 0.89, 0.01},
                              doubles)
                       .view({4, 3});
  const DigitCriterion result = digit_criterion(p);
  EXPECT_EQ(result.confident.value, 0.75);
  EXPECT_EQ(result.classes, 2);
  EXPECT_EQ(result.counts, (std::vector<std::int64_t>{2, 0, 1}));
  EXPECT_EQ(digit_criterion(p, 0.5).classes, 3);
  EXPECT_THROW(digit_criterion(p * 10), WorkError);
}

TEST(ShareEstimate, IsBinomialInTheMiddleAndNotZeroAtTheEnds) {
  EXPECT_NEAR(share_estimate(400, 1000).standard_error, std::sqrt(0.24 / 1000), 1e-4);
  EXPECT_GT(share_estimate(0, 100).standard_error, 0.004);
  EXPECT_EQ(share_estimate(100, 100).value, 1);
}

TEST(MeanEstimate, ByHand) {
  const Estimate result = mean_estimate(at::tensor({1.0, 2.0, 3.0, 6.0}, doubles));
  EXPECT_EQ(result.value, 3);
  EXPECT_NEAR(result.standard_error, std::sqrt((4 + 1 + 0 + 9) / 3.0 / 4), 1e-12);
  EXPECT_TRUE(std::isnan(mean_estimate(at::ones({1})).standard_error));
}

}  // namespace
}  // namespace gibbsite
