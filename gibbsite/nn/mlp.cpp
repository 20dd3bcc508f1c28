#include <gibbsite/nn/mlp.h>
#include <torch/types.h>

namespace gibbsite {

Mlp::Mlp(Parameters& parameters, const std::string& name, const MlpShape& shape) : shape_(shape) {
  std::vector<std::int64_t> widths = shape.hidden;
  if (shape.output > 0) widths.push_back(shape.output);
  std::int64_t in = shape.input;
  for (std::size_t i = 0; i < widths.size(); ++i) {
    const std::string layer = name + ".layer" + std::to_string(i + 1);
    weights_.push_back(parameters.weight(layer + ".weight", {widths[i], in}));
    biases_.push_back(parameters.bias(layer + ".bias", widths[i], in));
    if (shape.norm && i < shape.hidden.size()) {
      norm_weights_.push_back(parameters.constant(layer + ".norm.weight", {widths[i]}, 1));
      norm_biases_.push_back(parameters.constant(layer + ".norm.bias", {widths[i]}, 0));
    }
    in = widths[i];
  }
  if (shape.skip) skip_ = parameters.weight(name + ".skip.weight", {in, shape.input});
}

template <class T>
T Mlp::forward(const T& x) const {
  T h = x;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    h = lin(h, weights_[i], biases_[i]);
    if (i >= shape_.hidden.size()) break;
    if (shape_.norm) h = layer_norm(h, norm_weights_[i], norm_biases_[i]);
    h = act(shape_.activation, h);
  }
  return shape_.skip ? plus(h, lin(x, skip_, Tensor())) : h;
}

template Tensor Mlp::forward(const Tensor&) const;
template Jet Mlp::forward(const Jet&) const;
template Stock Mlp::forward(const Stock&) const;

}  // namespace gibbsite
