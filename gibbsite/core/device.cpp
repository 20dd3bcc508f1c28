#include <ATen/Context.h>
#include <gibbsite/core/compat.h>
#include <gibbsite/core/device.h>

namespace gibbsite {

void use_exact_cuda() {
  // LibTorch 2.9 and later have finer settings, another set in each, and warn about these, which every version has.
  const compat::Silence silence;
  at::globalContext().setAllowTF32CuDNN(false);
  at::globalContext().setAllowTF32CuBLAS(false);
  at::globalContext().setDeterministicCuDNN(true);
}

void use_tf32_on_cuda() {
  const compat::Silence silence;
  at::globalContext().setAllowTF32CuDNN(true);
  at::globalContext().setAllowTF32CuBLAS(true);
}

void wait_for_cuda() {
  if (!at::hasCUDA()) return;
  const auto& hooks = at::detail::getCUDAHooks();
  for (int device = 0; device < hooks.getNumGPUs(); ++device) hooks.deviceSynchronize(device);
}

}  // namespace gibbsite
