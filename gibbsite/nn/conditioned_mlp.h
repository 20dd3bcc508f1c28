// A multi-layer perceptron of two inputs, v and h, joined before the first layer. W [v, h] + b is W_v v + b and W_h h apart, so
// that what depends on v alone is computed once however many h go with it, and a jet or a finite difference along h does
// not repeat it.
#pragma once

#include <gibbsite/nn/mlp.h>

namespace gibbsite {

class ConditionedMlp {
 public:
  /// shape.input counts both inputs, `given` that of v alone, 0 < given < shape.input; at least one hidden layer, and
  /// neither skip nor norm.
  ConditionedMlp(Parameters& parameters, const std::string& name, const MlpShape& shape, std::int64_t given);

  /// W_v v + b: [B, …], flattened to [B, given], -> [B, hidden[0]].
  Tensor condition(const Tensor& v) const;
  /// h: [kB, input - given], row i with the condition of row i mod B -> [kB, output]. T is Tensor or Jet.
  template <class T>
  T forward(const T& h, const Tensor& condition) const;
  /// The same from v and h side by side, [N, input] -> [N, output], as a network without this structure computes it.
  Stock joined(const Stock& both) const;

 private:
  Activation activation_;
  std::int64_t given_;
  Tensor weight_, bias_;
  Mlp rest_;
};

}  // namespace gibbsite
