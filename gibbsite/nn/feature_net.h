// Features of points or images: convolutions, or none, and then a multi-layer perceptron (the encoder of conjugate energy-based
// models: kernels 3, 4, 4, 4 of strides 1, 2, 2, 2 with padding 1, an activation after every one).
#pragma once

#include <gibbsite/nn/mlp.h>

namespace gibbsite {

struct FeatureNetOptions {
  std::vector<std::int64_t> channels = {32, 32, 64, 64};
  std::vector<std::int64_t> hidden = {256};
  std::string activation = "silu";
  void declare(OptionVisitor& o) {
    o.option("channels", channels, "filters of the convolutions of images; none for points", at_least(1));
    o.option("hidden", hidden, "widths of the dense layers after them", at_least(1));
    o.option("activation", activation, "nonlinearity after every layer but the last", activation_names());
  }
};

class FeatureNet {
 public:
  /// Events [C, H, W] where there are channels, else any, flattened. Throws RequestError for events that do not fit.
  FeatureNet(Parameters& parameters, const std::string& name, const FeatureNetOptions& options, const Shape& event,
             std::int64_t outputs);
  /// [B, *event] -> [B, outputs].
  template <class T>
  T forward(const T& x) const;
  /// What the last activation before the outputs is applied to: [B, *event] -> [B, width].
  Tensor last_hidden(const Tensor& x) const;

 private:
  Activation activation_;
  std::vector<Tensor> weights_, biases_;
  Mlp dense_;
  template <class T>
  T convolved(const T& x) const;
  static MlpShape dense_shape(const FeatureNetOptions& options, const Shape& event, std::int64_t outputs);
};

/// One note per activation, for guards.
std::vector<std::string> feature_layers(const FeatureNetOptions& options);

}  // namespace gibbsite
