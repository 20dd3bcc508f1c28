// A multi-layer perceptron.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/nn/operations.h>
#include <gibbsite/nn/parameters.h>

#include <string>
#include <vector>

namespace gibbsite {

struct MlpShape {
  std::int64_t input = 0;
  std::vector<std::int64_t> hidden;
  std::int64_t output = 0;  ///< 0: no output layer, the result is the last hidden activation
  Activation activation = Activation::kSilu;
  bool skip = false;  ///< adds a linear map of the input, without bias, to the output
  bool norm = false;  ///< layer norm before every activation
  /// Weights and biases uniform in ±1/√inputs, or N(0, 1)/√outputs; or weights uniform in ±√(6/(inputs + outputs)) and biases
  /// 0.
  enum class Initial { kUniform, kNormal, kGlorot };
  Initial initial = Initial::kUniform;
};

/// Settings of a perceptron that is a part of something.
struct MlpOptions {
  std::vector<std::int64_t> hidden = {256, 256};
  std::string activation = "tanh";
  std::string initial = "uniform";
  void declare(OptionVisitor& o) {
    o.option("hidden", hidden, "widths of the hidden layers; none: an affine map", at_least(1));
    o.option("activation", activation, "nonlinearity of every hidden layer", activation_names());
    o.option("initial", initial,
             "first weights: uniform in ±1/√inputs, or in ±√(6/(inputs + outputs)) with biases of 0",
             {"uniform", "glorot"});
  }
  MlpShape shape(std::int64_t input, std::int64_t output) const;
};

class Mlp {
 public:
  Mlp(Parameters& parameters, const std::string& name, const MlpShape& shape);
  /// [B, input] -> [B, output].
  template <class T>
  T forward(const T& x) const;
  /// What the last activation is applied to: [B, input] -> [B, last width]. Needs a hidden layer and no layer norm.
  Tensor last_hidden(const Tensor& x) const;
  const MlpShape& shape() const { return shape_; }

 private:
  MlpShape shape_;
  std::vector<Tensor> weights_, biases_, norm_weights_, norm_biases_;
  Tensor skip_;
};

}  // namespace gibbsite
