#include <gibbsite/nn/operations.h>
#include <gibbsite/nn/spectral_conv.h>
#include <torch/nn/module.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

constexpr double kSmall = 1e-5, kNormFloor = 0.01, kPowerFloor = 1e-3;
constexpr std::int64_t kPowerSteps = 4, kFirstPowerSteps = 40;

Tensor norms(const Tensor& direction) { return direction.square().sum({1, 2, 3}, /*keepdim=*/true).sqrt(); }

Tensor unit(const Tensor& x) { return x / x.norm().clamp_min(kPowerFloor); }

}  // namespace

SpectralConv::SpectralConv(Parameters& parameters, const Rng& init, const std::string& name, const ConvShape& shape)
    : shape_(shape), module_(&parameters.module()) {
  const std::int64_t in = shape.depthwise ? 1 : shape.in, fan_in = in * shape.side * shape.side;
  direction_ =
      parameters.weight(name + (shape.normalise ? ".direction" : ".weight"), {shape.out, in, shape.side, shape.side});
  if (shape.normalise)
    log_norm_ = parameters.given(name + ".log_norm", (norms(direction_) + kNormFloor).log().flatten());
  if (shape.bias) bias_ = parameters.bias(name + ".bias", shape.out, fan_in);
  Rng power = init.stream("power/" + name);
  std::string key = name;
  for (char& c : key)
    if (c == '.') c = '_';
  left_ = module_->register_buffer(key + "_left", unit(power.normal({shape.out}, direction_.detach())));
  right_ = module_->register_buffer(key + "_right", unit(power.normal({fan_in}, direction_.detach())));
  started_ = module_->register_buffer(key + "_started", torch::zeros({}, torch::kLong));
}

Tensor SpectralConv::unit_weight() const { return direction_ / (norms(direction_) + kSmall); }

Tensor SpectralConv::weight() const {
  return shape_.normalise ? log_norm_.exp().view({-1, 1, 1, 1}) * unit_weight() : direction_;
}

Tensor SpectralConv::convolve(const Tensor& x, const Tensor& weight) const {
  const std::int64_t padding = shape_.side / 2;
  if (!shape_.depthwise) return conv(x, weight, shape_.stride, padding);
  return at::conv2d(x, weight, {}, shape_.stride, padding, 1, shape_.in);
}

Jet SpectralConv::convolve(const Jet& x, const Tensor& weight) const {
  return shape_.depthwise ? x.with(convolve(x.c, weight)) : conv(x, weight, shape_.stride, shape_.side / 2);
}

template <class T>
T SpectralConv::apply(const T& x) const {
  const T y = convolve(x, weight());
  return bias_.defined() ? add_bias(y, bias_) : y;
}

Tensor SpectralConv::forward(const Tensor& x) const { return apply(x); }
Jet SpectralConv::forward(const Jet& x) const { return apply(x); }

void SpectralConv::initialise(const Tensor& x, double deviation) const {
  const torch::NoGradGuard no_graph;
  const Tensor y = convolve(x, unit_weight());
  const Tensor scale = y.std(at::IntArrayRef{0, 2, 3}, /*unbiased=*/true) / deviation + kSmall;
  log_norm_.copy_(-scale.log());
  if (bias_.defined()) bias_.copy_(-y.mean({0, 2, 3}) / scale);
}

Tensor SpectralConv::spectral_norm() const {
  const Tensor matrix = weight().flatten(1);
  if (module_->is_training()) {
    const torch::NoGradGuard no_graph;
    const Tensor fixed = matrix.detach();
    const bool first = started_.item<std::int64_t>() == 0;
    Tensor u = left_, v = right_;
    for (std::int64_t i = 0; i < (first ? kFirstPowerSteps : kPowerSteps); ++i) {
      v = unit(fixed.t().mv(u));
      u = unit(fixed.mv(v));
    }
    left_.copy_(u);
    right_.copy_(v);
    started_.fill_(1);
  }
  return left_.clone().dot(matrix.mv(right_.clone()));
}

}  // namespace gibbsite
