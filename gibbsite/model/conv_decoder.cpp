#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/model/conv_decoder.h>
#include <gibbsite/model/network_decoder.h>
#include <gibbsite/nn/operations.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

constexpr std::int64_t kSide = 5;

struct Network {
  Tensor dense_weight, dense_bias;
  std::vector<Tensor> weights, biases;
  Shape first;  // [C, H, W] of the first map
  Activation activation;
  double scale;

  Tensor forward(const Tensor& h) const {
    Tensor x = at::linear(scaled(h, scale), dense_weight, dense_bias).view({h.size(0), first[0], first[1], first[2]});
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (i > 0) x = activate(activation, x);
      x = add_bias(conv_transpose(x, weights[i], 2 * x.size(2), 2 * x.size(3), /*stride=*/2, /*padding=*/2), biases[i]);
    }
    return x.contiguous();
  }
};

}  // namespace

std::unique_ptr<Decoder> make_conv_decoder(const ConvDecoderOptions& options, const LatentContext& context) {
  const Shape& event = context.event;
  const std::int64_t factor = std::int64_t{1} << options.stages;
  if (event.size() != 3 || event[1] % factor != 0 || event[2] % factor != 0)
    throw RequestError("decoder", fmt::format("needs images [C, H, W] with sides that divide by {}, not {}", factor,
                                              format_shape(event)));
  Parameters parameters(context.init, context.dtype, context.device);
  Network network;
  network.activation = activation_from_name(options.activation);
  network.scale = context.code_scale;
  std::int64_t in = options.filters * (factor / 2);
  network.first = {in, event[1] / factor, event[2] / factor};
  const std::int64_t flat = event_size(network.first);
  network.dense_weight = parameters.weight("decoder.dense.weight", {flat, context.latent_size});
  network.dense_bias = parameters.bias("decoder.dense.bias", flat, context.latent_size);
  for (std::int64_t i = 0; i < options.stages; ++i) {
    const std::int64_t out = i + 1 < options.stages ? in / 2 : observation_outputs(options) * event[0];
    const std::string layer = fmt::format("decoder.conv{}", i + 1);
    network.weights.push_back(parameters.weight(layer + ".weight", {in, out, kSide, kSide}));
    network.biases.push_back(parameters.bias(layer + ".bias", out, out * kSide * kSide));
    in = out;
  }
  return std::make_unique<NetworkDecoder<Network>>(options, context, parameters, network);
}

}  // namespace gibbsite
