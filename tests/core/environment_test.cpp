#include <ATen/Parallel.h>
#include <gibbsite/core/environment.h>
#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/version.h>

#include <nlohmann/json.hpp>

namespace gibbsite {
namespace {

TEST(Environment, BlasIsTheLibraryThatIsMapped) {
  const std::string interface_line =
      "7f00-7f01 r-xp 00000000 08:01 12 /usr/lib/x86_64-linux-gnu/openblas-openmp/libblas.so.3\n";
  const std::string openmp =
      "7f02-7f03 r--p 00000000 08:01 13 /usr/lib/x86_64-linux-gnu/openblas-openmp/libopenblasp-r0.3.21.so\n";
  const std::string pthread =
      "7f04-7f05 r--p 00000000 08:01 14 /usr/lib/x86_64-linux-gnu/openblas-pthread/libopenblasp-r0.3.21.so\n";
  EXPECT_EQ(blas_in_maps(interface_line + openmp + openmp), "OpenBLAS 0.3.21 (openblas-openmp)");
  EXPECT_EQ(blas_in_maps(pthread), "OpenBLAS 0.3.21 (openblas-pthread)");
  EXPECT_EQ(blas_in_maps(openmp + pthread), "OpenBLAS 0.3.21 (openblas-openmp) and OpenBLAS 0.3.21 (openblas-pthread)");
  EXPECT_EQ(blas_in_maps("7f r-xp 0 0 1 /opt/mkl/lib/libmkl_core.so.2\n7f r-xp 0 0 1 /opt/mkl/lib/libmkl_avx2.so.2\n"),
            "MKL 2 (lib)");
  EXPECT_EQ(blas_in_maps("7f r-xp 0 0 1 /usr/lib/x86_64-linux-gnu/blas/libblas.so.3.11.0\n"), "reference BLAS (blas)");
  EXPECT_EQ(blas_in_maps("7f r-xp 0 0 1 /usr/lib/x86_64-linux-gnu/libm.so.6\n7f [heap]\n"), "unknown");
}

TEST(Environment, DescribesThisProcess) {
  // A matrix product makes sure that the library is loaded.
  ASSERT_EQ(at::mm(at::ones({4, 4}), at::ones({4, 4})).sum().item<double>(), 64);
  const Environment here = environment();
  EXPECT_NE(here.blas, "unknown");
  EXPECT_NE(here.capability, "unknown");
  EXPECT_FALSE(here.commit.empty());
  EXPECT_EQ(here.libtorch.rfind(std::to_string(TORCH_VERSION_MAJOR) + ".", 0), 0u);
  EXPECT_EQ(here.threads, at::get_num_threads());
  for (const auto& [name, value] : named_strings(here)) EXPECT_FALSE(value.empty()) << name;

  const nlohmann::json json = nlohmann::json::parse(json_text(here));
  EXPECT_EQ(json.at("blas"), here.blas);
  EXPECT_EQ(json.at("threads"), here.threads);
  EXPECT_EQ(json.size(), named_strings(here).size());
}

}  // namespace
}  // namespace gibbsite
