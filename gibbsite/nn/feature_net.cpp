#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/nn/feature_maps.h>
#include <gibbsite/nn/feature_net.h>
#include <torch/types.h>

namespace gibbsite {

MlpShape FeatureNet::dense_shape(const FeatureNetOptions& options, const Shape& event, std::int64_t outputs) {
  MlpShape shape;
  shape.input = event_size(event);
  if (!options.channels.empty()) {
    if (event.size() != 3)
      throw RequestError("channels", fmt::format("convolutions need images [C, H, W], not {}", format_shape(event)),
                         "channels = [] for points");
    const FeatureMap last = feature_maps(options.channels.size(), event, "channels").back();
    shape.input = options.channels.back() * last.height * last.width;
  }
  shape.hidden = options.hidden;
  shape.output = outputs;
  shape.activation = activation_from_name(options.activation);
  return shape;
}

FeatureNet::FeatureNet(Parameters& parameters, const std::string& name, const FeatureNetOptions& options,
                       const Shape& event, std::int64_t outputs)
    : activation_(activation_from_name(options.activation)),
      dense_(parameters, name, dense_shape(options, event, outputs)) {
  if (options.channels.empty()) return;
  const std::vector<FeatureMap> maps = feature_maps(options.channels.size(), event, "channels");
  std::int64_t in = event[0];
  for (std::size_t i = 0; i < maps.size(); ++i) {
    const std::int64_t out = options.channels[i], side = maps[i].side;
    const std::string of = fmt::format("{}.conv{}", name, i + 1);
    weights_.push_back(parameters.weight(of + ".weight", {out, in, side, side}));
    biases_.push_back(parameters.bias(of + ".bias", out, in * side * side));
    in = out;
  }
}

template <class T>
T FeatureNet::convolved(const T& x) const {
  T h = x;
  for (std::size_t i = 0; i < weights_.size(); ++i)
    h = act(activation_, add_bias(conv(h, weights_[i], feature_stride(i), kFeaturePadding), biases_[i]));
  return flattened(h);
}

template <class T>
T FeatureNet::forward(const T& x) const {
  return dense_.forward(convolved(x));
}

Tensor FeatureNet::last_hidden(const Tensor& x) const {
  if (dense_.shape().hidden.empty()) return convolved(x);
  return dense_.last_hidden(convolved(x));
}

template Tensor FeatureNet::forward(const Tensor&) const;
template Jet FeatureNet::forward(const Jet&) const;
template Stock FeatureNet::forward(const Stock&) const;

std::vector<std::string> feature_layers(const FeatureNetOptions& options) {
  return std::vector<std::string>(options.channels.size() + options.hidden.size(), options.activation);
}

}  // namespace gibbsite
