#include <gibbsite/nn/conditioned_mlp.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

MlpShape rest_of(const MlpShape& shape) {
  MlpShape rest = shape;
  rest.input = shape.hidden.front();
  rest.hidden.erase(rest.hidden.begin());
  return rest;
}

// The rows of a condition for `rows` rows of the other input.
Tensor spread(const Tensor& condition, std::int64_t rows) {
  return rows == condition.size(0) ? condition : condition.repeat({rows / condition.size(0), 1});
}

Tensor joined_first(const Tensor& h, const Tensor& weight, const Tensor& condition) {
  return at::addmm(spread(condition, h.size(0)), h, weight.t());
}
Jet joined_first(const Jet& h, const Tensor& weight, const Tensor& condition) {
  // Zeros below the condition let one product take all slices.
  const Tensor first = spread(condition, h.batch());
  const Tensor rest = at::zeros({h.c.size(0) - h.batch(), first.size(1)}, first.options());
  return h.with(at::addmm(at::cat({first, rest}), h.c, weight.t()));
}

Tensor first_weight(Parameters& parameters, const std::string& name, const MlpShape& shape) {
  if (shape.initial == MlpShape::Initial::kGlorot) return parameters.glorot(name, shape.hidden.front(), shape.input);
  return parameters.weight(name, {shape.hidden.front(), shape.input});
}
Tensor first_bias(Parameters& parameters, const std::string& name, const MlpShape& shape) {
  if (shape.initial == MlpShape::Initial::kGlorot) return parameters.constant(name, {shape.hidden.front()}, 0);
  return parameters.bias(name, shape.hidden.front(), shape.input);
}

}  // namespace

ConditionedMlp::ConditionedMlp(Parameters& parameters, const std::string& name, const MlpShape& shape,
                               std::int64_t given)
    : activation_(shape.activation),
      given_(given),
      weight_(first_weight(parameters, name + ".joint.weight", shape)),
      bias_(first_bias(parameters, name + ".joint.bias", shape)),
      rest_(parameters, name, rest_of(shape)) {}

Tensor ConditionedMlp::condition(const Tensor& v) const {
  return at::linear(v.flatten(1), weight_.narrow(1, 0, given_), bias_);
}

template <class T>
T ConditionedMlp::forward(const T& h, const Tensor& condition) const {
  const Tensor weight = weight_.narrow(1, given_, weight_.size(1) - given_);
  return rest_.forward(act(activation_, joined_first(h, weight, condition)));
}

Stock ConditionedMlp::joined(const Stock& both) const {
  return rest_.forward(act(activation_, lin(both, weight_, bias_)));
}

template Tensor ConditionedMlp::forward(const Tensor&, const Tensor&) const;
template Jet ConditionedMlp::forward(const Jet&, const Tensor&) const;

}  // namespace gibbsite
