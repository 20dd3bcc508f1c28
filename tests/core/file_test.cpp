#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

namespace gibbsite {
namespace {

std::string scratch(const char* name) {
  const auto folder = std::filesystem::temp_directory_path() / ("gibbsite_file_test_" + std::to_string(::getpid()));
  std::filesystem::remove_all(folder / name);
  return (folder / name).string();
}

TEST(File, RoundTripMakesFoldersAndLeavesNothingElse) {
  const std::string path = scratch("a") + "/b/c.bin";
  const std::string bytes("\0\n\xff text", 8);
  write_file(path, bytes);
  EXPECT_EQ(read_file(path), bytes);
  write_file(path, "shorter");
  EXPECT_EQ(read_file(path), "shorter");
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(path).parent_path())) {
    files += entry.is_regular_file();
  }
  EXPECT_EQ(files, 1);
}

TEST(File, FailuresNamePathAndReasonAndKeepTheOldFile) {
  try {
    read_file("/nonexistent/x");
    FAIL();
  } catch (const WorkError& error) {
    EXPECT_NE(std::string(error.what()).find("/nonexistent/x"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("No such file"), std::string::npos);
  }
  EXPECT_THROW(read_file("/tmp"), WorkError);
  // A file cannot be a folder, whoever runs the test.
  const std::string path = scratch("d") + "/file";
  write_file(path, "old");
  EXPECT_THROW(write_file(path + "/below", "new"), WorkError);
  EXPECT_EQ(read_file(path), "old");
  EXPECT_THROW(write_file("/dev/full/x", "new"), WorkError);
}

TEST(File, AFolderIsOneCallersAtATime) {
  const std::string folder = scratch("lock");
  std::filesystem::create_directories(folder);
  std::shared_ptr<void> first = lock_folder(folder, false);
  ASSERT_TRUE(first);
  EXPECT_FALSE(lock_folder(folder, false));
  first.reset();
  EXPECT_TRUE(lock_folder(folder, true));
  EXPECT_THROW(lock_folder(folder + "/none", false), WorkError);
}

}  // namespace
}  // namespace gibbsite
