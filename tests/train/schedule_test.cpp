#include <gibbsite/core/error.h>
#include <gibbsite/train/schedule.h>
#include <gtest/gtest.h>

#include <cmath>

namespace gibbsite {
namespace {

ScheduleOptions schedule(const char* name, std::int64_t warmup = 0, double final_fraction = 0, std::int64_t total = 0) {
  ScheduleOptions options;
  options.name = name;
  options.warmup = warmup;
  options.final_fraction = final_fraction;
  options.total_steps = total;
  return options;
}

TEST(Schedule, ConstantIsOne) {
  for (const std::int64_t step : {0, 1, 99, 100000}) EXPECT_EQ(schedule_factor(schedule("constant"), step, 100), 1);
}

TEST(Schedule, CosineByHand) {
  const ScheduleOptions options = schedule("cosine");
  EXPECT_DOUBLE_EQ(schedule_factor(options, 0, 12), 1);
  EXPECT_NEAR(schedule_factor(options, 3, 12), (1 + std::sqrt(0.5)) / 2, 1e-15);
  EXPECT_NEAR(schedule_factor(options, 4, 12), 0.75, 1e-15);
  EXPECT_NEAR(schedule_factor(options, 6, 12), 0.5, 1e-15);
  EXPECT_NEAR(schedule_factor(options, 8, 12), 0.25, 1e-15);
  EXPECT_NEAR(schedule_factor(options, 12, 12), 0, 1e-15);
  EXPECT_NEAR(schedule_factor(options, 40, 12), 0, 1e-15);
}

TEST(Schedule, CosineEndsAtItsFraction) {
  const ScheduleOptions options = schedule("cosine", 0, 0.01, 10);
  EXPECT_NEAR(schedule_factor(options, 5, 1000), 0.505, 1e-15);
  EXPECT_NEAR(schedule_factor(options, 10, 1000), 0.01, 1e-15);
}

TEST(Schedule, WarmUpIsLinearAndReachesOne) {
  for (const char* name : {"constant", "cosine"}) {
    const ScheduleOptions options = schedule(name, 4);
    EXPECT_DOUBLE_EQ(schedule_factor(options, 0, 20), 0.25);
    EXPECT_DOUBLE_EQ(schedule_factor(options, 1, 20), 0.5);
    EXPECT_DOUBLE_EQ(schedule_factor(options, 3, 20), 1);
    EXPECT_DOUBLE_EQ(schedule_factor(options, 4, 20), 1);
  }
  EXPECT_NEAR(schedule_factor(schedule("cosine", 4), 12, 20), 0.5, 1e-15);
  EXPECT_THROW(schedule_factor(schedule("steps"), 0, 1), RequestError);
}

}  // namespace
}  // namespace gibbsite
