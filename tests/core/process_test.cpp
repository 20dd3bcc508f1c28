#include <gibbsite/core/environment.h>
#include <gibbsite/core/process.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cstdlib>

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

}  // namespace
}  // namespace gibbsite
