#include <gibbsite/core/environment.h>
#include <gibbsite/core/process.h>
#include <gtest/gtest.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

TEST(Process, KernelsAreNamedWhereOpenBlasIsLoaded) {
  ASSERT_EQ(at::mm(at::ones({4, 4}), at::ones({4, 4})).sum().item<double>(), 64);
  const std::string blas = environment().blas;
  EXPECT_EQ(blas.find("OpenBLAS") != std::string::npos, !openblas_kernels().empty()) << blas;
  EXPECT_NE(blas.find(openblas_kernels()), std::string::npos);
}

}  // namespace
}  // namespace gibbsite
