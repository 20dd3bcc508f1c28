#include <gibbsite/nn/mlp.h>
#include <gibbsite/nn/recording.h>
#include <gibbsite/nn/trace.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {

MlpShape MlpOptions::shape(std::int64_t input, std::int64_t output) const {
  MlpShape shape;
  shape.input = input;
  shape.hidden = hidden;
  shape.output = output;
  shape.activation = activation_from_name(activation);
  shape.initial = initial == "glorot" ? MlpShape::Initial::kGlorot : MlpShape::Initial::kUniform;
  return shape;
}

Mlp::Mlp(Parameters& parameters, const std::string& name, const MlpShape& shape) : shape_(shape) {
  std::vector<std::int64_t> widths = shape.hidden;
  if (shape.output > 0) widths.push_back(shape.output);
  std::int64_t in = shape.input;
  const bool normal = shape.initial == MlpShape::Initial::kNormal;
  const bool glorot = shape.initial == MlpShape::Initial::kGlorot;
  const auto weight = [&](const std::string& of, std::int64_t outputs, std::int64_t inputs) {
    if (glorot) return parameters.glorot(of, outputs, inputs);
    return normal ? parameters.normal(of, {outputs, inputs}, 1 / std::sqrt(static_cast<double>(outputs)))
                  : parameters.weight(of, {outputs, inputs});
  };
  for (std::size_t i = 0; i < widths.size(); ++i) {
    const std::string layer = name + ".layer" + std::to_string(i + 1);
    weights_.push_back(weight(layer + ".weight", widths[i], in));
    const std::string bias = layer + ".bias";
    if (glorot)
      biases_.push_back(parameters.constant(bias, {widths[i]}, 0));
    else
      biases_.push_back(normal ? parameters.normal(bias, {widths[i]}, 1 / std::sqrt(static_cast<double>(widths[i])))
                               : parameters.bias(bias, widths[i], in));
    if (shape.norm && i < shape.hidden.size()) {
      norm_weights_.push_back(parameters.constant(layer + ".norm.weight", {widths[i]}, 1));
      norm_biases_.push_back(parameters.constant(layer + ".norm.bias", {widths[i]}, 0));
    }
    in = widths[i];
  }
  if (shape.skip) skip_ = weight(name + ".skip.weight", in, shape.input);
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

Tensor Mlp::last_hidden(const Tensor& x) const {
  Tensor h = lin(x, weights_[0], biases_[0]);
  for (std::size_t i = 1; i < shape_.hidden.size(); ++i) h = lin(act(shape_.activation, h), weights_[i], biases_[i]);
  return h;
}

template Tensor Mlp::forward(const Tensor&) const;
template Jet Mlp::forward(const Jet&) const;
template Stock Mlp::forward(const Stock&) const;
template Traced Mlp::forward(const Traced&) const;
template Recorded Mlp::forward(const Recorded&) const;

}  // namespace gibbsite
