#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/nn/conv_encoder.h>
#include <gibbsite/nn/operations.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

constexpr std::int64_t kSide = 5, kStride = 2, kPadding = 2;

Tensor as_channel(const Tensor& x, const Shape& image) { return x.view({x.size(0), 1, image[1], image[2]}); }
Jet as_channel(const Jet& x, const Shape& image) { return x.with(as_channel(x.c, image)); }

Tensor spread(const Tensor& condition, std::int64_t rows) {
  return rows == condition.size(0) ? condition : condition.repeat({rows / condition.size(0), 1, 1, 1});
}
Tensor with_condition(const Tensor& x, const Tensor& condition) { return x + spread(condition, x.size(0)); }
Jet with_condition(const Jet& x, const Tensor& condition) { return x + spread(condition, x.batch()); }

}  // namespace

ConvEncoder::ConvEncoder(Parameters& parameters, const std::string& name, const ConvEncoderShape& shape)
    : shape_(shape) {
  const std::int64_t factor = std::int64_t{1} << shape.stages;
  if (shape.image.size() != 3 || shape.image[1] % factor != 0 || shape.image[2] % factor != 0)
    throw RequestError(name, fmt::format("needs images [C, H, W] with sides that divide by {}, not {}", factor,
                                         format_shape(shape.image)));
  const std::int64_t pixels = shape.image[1] * shape.image[2];
  if (shape.vector > 0) {
    channel_weight_ = parameters.weight(name + ".channel.weight", {pixels, shape.vector});
    channel_bias_ = parameters.bias(name + ".channel.bias", pixels, shape.vector);
  }
  std::int64_t in = shape.image[0] + (shape.vector > 0 ? 1 : 0), out = shape.filters;
  for (std::int64_t i = 0; i < shape.stages; ++i) {
    const std::string layer = fmt::format("{}.conv{}", name, i + 1);
    weights_.push_back(parameters.weight(layer + ".weight", {out, in, kSide, kSide}));
    biases_.push_back(parameters.bias(layer + ".bias", out, in * kSide * kSide));
    in = out;
    out *= 2;
  }
  const std::int64_t flat = in * pixels / (factor * factor);
  dense_weight_ = parameters.weight(name + ".dense.weight", {shape.features, flat});
  dense_bias_ = parameters.bias(name + ".dense.bias", shape.features, flat);
  output_weight_ = parameters.weight(name + ".output.weight", {shape.output, shape.features});
  output_bias_ = parameters.bias(name + ".output.bias", shape.output, shape.features);
}

Tensor ConvEncoder::condition(const Tensor& v) const {
  if (shape_.image[0] == 0) return {};
  return conv(v, weights_[0].narrow(1, 0, shape_.image[0]), kStride, kPadding);
}

template <class T>
T ConvEncoder::forward(const T& h, const Tensor& condition) const {
  const T channel = as_channel(act(shape_.activation, lin(h, channel_weight_, channel_bias_)), shape_.image);
  const T first = conv(channel, weights_[0].narrow(1, shape_.image[0], 1), kStride, kPadding);
  return rest(condition.defined() ? with_condition(first, condition) : first);
}

Tensor ConvEncoder::of_image(const Tensor& v) const { return rest(condition(v)); }

template <class T>
T ConvEncoder::rest(T x) const {
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    if (i > 0) x = conv(x, weights_[i], kStride, kPadding);
    x = add_bias(std::move(x), biases_[i]);
    if (i + 1 < weights_.size() || shape_.activate_last) x = act(shape_.activation, x);
  }
  x = act(shape_.activation, lin(flattened(x), dense_weight_, dense_bias_));
  return lin(x, output_weight_, output_bias_);
}

template Tensor ConvEncoder::forward(const Tensor&, const Tensor&) const;
template Jet ConvEncoder::forward(const Jet&, const Tensor&) const;

}  // namespace gibbsite
