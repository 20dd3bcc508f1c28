#include <gibbsite/core/environment.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/core/process.h>
#include <gtest/gtest.h>
#include <torch/types.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <thread>

namespace gibbsite {
namespace {

TEST(Process, KernelsAreNamedWhereOpenBlasIsLoaded) {
  ASSERT_EQ(at::mm(at::ones({4, 4}), at::ones({4, 4})).sum().item<double>(), 64);
  const std::string blas = environment().blas;
  EXPECT_EQ(blas.find("OpenBLAS") != std::string::npos, !openblas_kernels().empty()) << blas;
  EXPECT_NE(blas.find(openblas_kernels()), std::string::npos);
}

TEST(Process, QuotedTextIsOneWordOfAShell) {
  EXPECT_EQ(shell_quoted(""), "''");
  EXPECT_EQ(shell_quoted("a $b"), "'a $b'");
  const std::string text = "it's \"$HOME\" `pwd` \\";
  EXPECT_EQ(std::system(("test " + shell_quoted(text) + " = \"it's \\\"\\$HOME\\\" \\`pwd\\` \\\\\"").c_str()), 0);
}

// What children of the tests below are: this program, asked for one of these.
TEST(ChildProcess, DISABLED_Sleeps) { std::this_thread::sleep_for(std::chrono::minutes(1)); }
TEST(ChildProcess, DISABLED_Fails) { _exit(3); }

class Child {
 public:
  explicit Child(const std::vector<std::string>& arguments) : process_(arguments, path("out"), path("log")) {}
  int wait() {
    while (!process_.exit_code()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return *process_.exit_code();
  }
  static std::vector<std::string> test(const std::string& name) {
    return {"--gtest_also_run_disabled_tests", "--gtest_filter=ChildProcess.DISABLED_" + name};
  }
  static std::string path(const std::string& name) {
    return (std::filesystem::temp_directory_path() / ("gibbsite_child_" + std::to_string(::getpid()) + name)).string();
  }
  ChildProcess process_;
};

TEST(ChildProcess, IsThisProgramAndPrintsIntoFiles) {
  EXPECT_EQ(Child({"--gtest_list_tests", "an argument of two words"}).wait(), 0);
  EXPECT_NE(read_file(Child::path("out")).find("IsThisProgramAndPrintsIntoFiles"), std::string::npos);
  EXPECT_EQ(read_file(Child::path("log")), "");
  EXPECT_EQ(Child(Child::test("Fails")).wait(), 3);
  EXPECT_THROW(ChildProcess({}, "/nonexistent/out", Child::path("log")), WorkError);
}

TEST(ChildProcess, EndsByASignalAndWithItsOwner) {
  Child child(Child::test("Sleeps"));
  EXPECT_EQ(child.process_.exit_code(), std::nullopt);
  child.process_.interrupt();
  EXPECT_EQ(child.wait(), ChildProcess::kBySignal + SIGTERM);
  const auto start = std::chrono::steady_clock::now();
  { const Child abandoned(Child::test("Sleeps")); }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(50));
}

}  // namespace
}  // namespace gibbsite
