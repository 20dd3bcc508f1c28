#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/nn/feature_net.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

struct Layer {
  std::int64_t side, stride;
};
constexpr std::int64_t kPadding = 1;

Layer layer(std::size_t i) { return i == 0 ? Layer{3, 1} : Layer{4, 2}; }

}  // namespace

MlpShape FeatureNet::dense_shape(const FeatureNetOptions& options, const Shape& event, std::int64_t outputs) {
  MlpShape shape;
  shape.input = event_size(event);
  if (!options.channels.empty()) {
    if (event.size() != 3)
      throw RequestError("channels", fmt::format("convolutions need images [C, H, W], not {}", format_shape(event)),
                         "channels = [] for points");
    std::int64_t height = event[1], width = event[2];
    for (std::size_t i = 0; i < options.channels.size(); ++i) {
      const auto [side, stride] = layer(i);
      if (height + 2 * kPadding < side || width + 2 * kPadding < side)
        throw RequestError("channels", fmt::format("{} convolutions leave nothing of {}", options.channels.size(),
                                                   format_shape(event)));
      height = (height + 2 * kPadding - side) / stride + 1;
      width = (width + 2 * kPadding - side) / stride + 1;
    }
    shape.input = options.channels.back() * height * width;
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
  std::int64_t in = event.empty() ? 0 : event[0];
  for (std::size_t i = 0; i < options.channels.size(); ++i) {
    const std::int64_t out = options.channels[i], side = layer(i).side;
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
    h = act(activation_, add_bias(conv(h, weights_[i], layer(i).stride, kPadding), biases_[i]));
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
