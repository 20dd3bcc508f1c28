#include <gibbsite/nn/head.h>
#include <gibbsite/nn/recording.h>
#include <gibbsite/nn/trace.h>
#include <torch/types.h>

namespace gibbsite {

Head::Head(Parameters& parameters, const std::string& name, std::int64_t features, HeadKind kind) : kind_(kind) {
  for (int i = 0; i < (kind == HeadKind::kLinear ? 1 : 3); ++i) {
    const std::string part = kind == HeadKind::kLinear ? name : name + std::to_string(i + 1);
    weight_[i] = parameters.weight(part + ".weight", {1, features});
    bias_[i] = parameters.bias(part + ".bias", 1, features);
  }
}

template <class T>
T Head::forward(const T& h) const {
  if (kind_ == HeadKind::kLinear) return column(lin(h, weight_[0], bias_[0]));
  const T product = times(lin(h, weight_[0], bias_[0]), lin(h, weight_[1], bias_[1]));
  return column(plus(product, lin(squared(h), weight_[2], bias_[2])));
}

template Tensor Head::forward(const Tensor&) const;
template Jet Head::forward(const Jet&) const;
template Stock Head::forward(const Stock&) const;
template Traced Head::forward(const Traced&) const;
template Recorded Head::forward(const Recorded&) const;

}  // namespace gibbsite
