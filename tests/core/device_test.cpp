#include <ATen/Context.h>
#include <gibbsite/core/device.h>
#include <gtest/gtest.h>

namespace gibbsite {
namespace {

TEST(Device, CudaKeepsEveryBitAndTheOrderOfItsSums) {
  use_exact_cuda();
  EXPECT_FALSE(at::globalContext().allowTF32CuDNN());
  EXPECT_FALSE(at::globalContext().allowTF32CuBLAS());
  EXPECT_TRUE(at::globalContext().deterministicCuDNN());
  use_tf32_on_cuda();
  EXPECT_TRUE(at::globalContext().allowTF32CuDNN());
  EXPECT_TRUE(at::globalContext().allowTF32CuBLAS());
  use_exact_cuda();
  EXPECT_FALSE(at::globalContext().allowTF32CuDNN());
}

}  // namespace
}  // namespace gibbsite
