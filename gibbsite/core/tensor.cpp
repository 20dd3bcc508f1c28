#include <gibbsite/core/tensor.h>
#include <torch/types.h>

#include <numeric>

namespace gibbsite {

Tensor sum_event(const Tensor& x) { return x.dim() == 1 ? x : x.flatten(1).sum(1); }

Tensor scale_rows(const Tensor& x, const Tensor& weight) {
  Shape sizes(static_cast<std::size_t>(x.dim()), 1);
  sizes[0] = weight.size(0);
  return x * weight.view(sizes);
}

std::int64_t event_size(const Shape& event) {
  return std::accumulate(event.begin(), event.end(), std::int64_t{1}, std::multiplies<>());
}

Shape event_shape(const Tensor& x) { return x.sizes().slice(1).vec(); }

}  // namespace gibbsite
