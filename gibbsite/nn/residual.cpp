#include <gibbsite/nn/channel_norms.h>
#include <gibbsite/nn/recompute.h>
#include <gibbsite/nn/residual.h>
#include <torch/types.h>

#include <type_traits>

namespace gibbsite {
namespace {

Tensor channels_last(const Tensor& x) { return x.contiguous(at::MemoryFormat::ChannelsLast); }
Jet channels_last(const Jet& x) { return x.with(channels_last(x.c)); }
Stock channels_last(const Stock& x) { return {channels_last(x.t)}; }

}  // namespace

ResidualNet::ResidualNet(Parameters& parameters, const std::string& name, const ResidualShape& shape) : shape_(shape) {
  const std::int64_t n = shape.filters;
  stem_ = parameters.weight(name + ".stem.weight", {n, shape.channels, 3, 3});
  stem_bias_ = parameters.bias(name + ".stem.bias", n, shape.channels * 9);
  std::int64_t in = n;
  for (std::int64_t stage = 0; stage < shape.stages; ++stage)
    for (std::int64_t b = 0; b < shape.blocks; ++b) {
      Block block;
      block.halves = b == 0;
      const std::int64_t out = block.halves ? 2 * in : in;
      const std::string layer = name + ".block" + std::to_string(stage + 1) + std::to_string(b + 1);
      block.first = parameters.weight(layer + ".first.weight", {in, in, 3, 3});
      block.second = parameters.weight(layer + ".second.weight", {out, in, 3, 3});
      block.second_bias = parameters.bias(layer + ".second.bias", out, in * 9);
      block.shortcut = parameters.weight(layer + ".shortcut.weight", {out, in, 1, 1});
      block.shortcut_bias = parameters.bias(layer + ".shortcut.bias", out, in);
      if (shape.norm)
        for (int i = 0; i < 2; ++i) {
          const std::string norm = layer + ".norm" + std::to_string(i + 1);
          block.norms[i] = {parameters.constant(norm + ".weight", {in}, 1),
                            parameters.constant(norm + ".bias", {in}, 0)};
        }
      blocks_.push_back(block);
      in = out;
    }
}

std::vector<Tensor> ResidualNet::Block::parameters() const {
  std::vector<Tensor> all = {first, second, second_bias, shortcut, shortcut_bias};
  for (const Norm& norm : norms)
    if (norm.weight.defined()) all.insert(all.end(), {norm.weight, norm.bias});
  return all;
}

template <class T>
T ResidualNet::pre_activation(const ResidualShape& shape, const T& x, const Norm& norm) {
  return act(shape.activation, shape.norm ? instance_norm(x, norm.weight, norm.bias) : x);
}

template <class T>
T ResidualNet::through(const ResidualShape& shape, const Block& block, const T& h) {
  const T inner = conv(pre_activation(shape, h, block.norms[0]), block.first, 1, 1);
  T main = conv(pre_activation(shape, inner, block.norms[1]), block.second, 1, 1);
  if (block.halves) main = pool(main);
  const T shortcut = conv(block.halves ? pool(h) : h, block.shortcut, 1, 0);
  // The pool of a constant is the constant, so both biases join at the end.
  return join(std::move(main), shortcut, block.second_bias + block.shortcut_bias);
}

template <class T>
T ResidualNet::forward(const T& x) const {
  T h = add_bias(conv(channels_last(x), stem_, 1, 1), stem_bias_);
  for (const Block& block : blocks_) {
    if constexpr (!std::is_same_v<T, Stock>) {
      if (shape_.recompute) {
        const auto again = [shape = shape_, block](const T& before) { return through(shape, block, before); };
        h = recomputed(std::function<T(const T&)>(again), h, block.parameters());
        continue;
      }
    }
    h = through(shape_, block, h);
  }
  return h;
}

std::int64_t ResidualNet::features(std::int64_t height, std::int64_t width) const {
  const std::int64_t factor = std::int64_t{1} << shape_.stages;
  return shape_.filters * factor * (height / factor) * (width / factor);
}

template Tensor ResidualNet::forward(const Tensor&) const;
template Jet ResidualNet::forward(const Jet&) const;
template Stock ResidualNet::forward(const Stock&) const;

}  // namespace gibbsite
