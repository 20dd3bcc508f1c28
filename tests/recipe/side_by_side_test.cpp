#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/recipe/side_by_side.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <thread>

#include "core/stopping.h"

#include "recipe/failure.h"

namespace gibbsite {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

// What parts of the tests below are: this program, asked for one of these.
TEST(SideBySidePart, DISABLED_Slow) {
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  std::puts("slow is done");
}
TEST(SideBySidePart, DISABLED_Quick) { std::puts("quick is done"); }
TEST(SideBySidePart, DISABLED_Failing) {
  std::fputs("gibbsite: error: disk: is full\n", stderr);
  _exit(1);
}
TEST(SideBySidePart, DISABLED_Refusing) {
  std::fputs("gibbsite: error: --set: unknown key\n", stderr);
  _exit(2);
}
TEST(SideBySidePart, DISABLED_Endless) { std::this_thread::sleep_for(std::chrono::minutes(1)); }

SideBySide parts(const std::vector<std::string>& names, std::int64_t jobs) {
  SideBySide work;
  work.names = names;
  work.jobs = jobs;
  work.directory = (fs::temp_directory_path() / ("gibbsite_side_by_side_" + std::to_string(::getpid()))).string();
  fs::remove_all(work.directory);
  fs::create_directories(work.directory);
  work.arguments = [](const std::string& name) -> std::vector<std::string> {
    return {"--gtest_also_run_disabled_tests", "--gtest_filter=SideBySidePart.DISABLED_" + name};
  };
  return work;
}

TEST(SideBySide, LinesComeInTheOrderOfNames) {
  for (const std::int64_t jobs : {1, 2}) {
    const std::vector<std::string> lines = run_side_by_side(parts({"Slow", "Quick"}, jobs), {});
    const auto slow = std::find(lines.begin(), lines.end(), "slow is done");
    const auto quick = std::find(lines.begin(), lines.end(), "quick is done");
    ASSERT_NE(slow, lines.end());
    ASSERT_NE(quick, lines.end());
    EXPECT_LT(slow, quick);
  }
}

TEST(SideBySide, AFailureIsSaidWhenTheOthersHaveEnded) {
  const SideBySide work = parts({"Failing", "Slow", "Quick"}, 1);
  const std::string said = failure<WorkError>([&] { run_side_by_side(work, {}); });
  EXPECT_EQ(said.rfind("Failing: disk: is full", 0), 0U) << said;
  EXPECT_NE(read_file(work.directory + "/Quick.out").find("quick is done"), std::string::npos);
}

TEST(SideBySide, NothingIsStartedAfterARefusal) {
  const SideBySide work = parts({"Refusing", "Quick"}, 1);
  const std::string said = failure([&] { run_side_by_side(work, {}); });
  EXPECT_EQ(said.rfind("Refusing: --set: unknown key", 0), 0U) << said;
  EXPECT_FALSE(fs::exists(work.directory + "/Quick.out"));
}

TEST(SideBySide, AnInterruptReachesAllThatRun) {
  StopAt interrupt(4);
  Ports ports;
  ports.interrupt = &interrupt;
  const auto start = Clock::now();
  EXPECT_THROW(run_side_by_side(parts({"Endless", "Slow", "Endless"}, 2), ports), Interrupted);
  EXPECT_LT(Clock::now() - start, std::chrono::seconds(50));
}

}  // namespace
}  // namespace gibbsite
