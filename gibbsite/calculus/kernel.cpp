#include <gibbsite/calculus/kernel.h>
#include <torch/types.h>

namespace gibbsite {

KernelPairs gaussian_kernel_pairs(const Tensor& x, const Tensor& y, double width) {
  const double precision = 1 / (width * width);
  const Tensor apart = x - y, squared = sum_event(apart.square()) * precision, value = (-0.5 * squared).exp();
  const auto d = static_cast<double>(x.numel()) / static_cast<double>(x.size(0));
  return {value, scale_rows(apart, -precision * value), precision * value * (d - squared)};
}

Tensor squared_distances(const Tensor& x, const Tensor& y) {
  const Tensor centre = y.detach().mean(-2, true), rows = x - centre, others = y - centre;
  const Tensor squares = rows.square().sum(-1, true) + others.square().sum(-1).unsqueeze(-2);
  return (squares - 2 * at::matmul(rows, others.transpose(-2, -1))).clamp_min(0);
}

}  // namespace gibbsite
