#include <gibbsite/calculus/kernel.h>
#include <torch/types.h>

namespace gibbsite {

KernelPairs gaussian_kernel_pairs(const Tensor& x, const Tensor& y, double width) {
  const double precision = 1 / (width * width);
  const Tensor apart = x - y, squared = sum_event(apart.square()) * precision, value = (-0.5 * squared).exp();
  const auto d = static_cast<double>(x.numel()) / static_cast<double>(x.size(0));
  return {value, scale_rows(apart, -precision * value), precision * value * (d - squared)};
}

}  // namespace gibbsite
