#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/model/mirrored_decoder.h>
#include <gibbsite/model/network_decoder.h>
#include <gibbsite/nn/feature_maps.h>
#include <gibbsite/nn/mlp.h>
#include <gibbsite/nn/operations.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

struct Layer {
  Tensor weight, bias;
  std::int64_t stride = 1;
  std::int64_t height = 0, width = 0;  // of what it makes
};

struct Network {
  Mlp dense;
  std::vector<Layer> layers;
  Shape first;  // [C, H, W] of the first map
  Activation activation;
  double scale;

  Tensor forward(const Tensor& h) const {
    Tensor x = activate(activation, dense.forward(scaled(h, scale)));
    x = x.view({h.size(0), first[0], first[1], first[2]});
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const Layer& layer = layers[i];
      if (i > 0) x = activate(activation, x);
      x = add_bias(conv_transpose(x, layer.weight, layer.height, layer.width, layer.stride, kFeaturePadding),
                   layer.bias);
    }
    return x.contiguous();
  }
};

}  // namespace

std::unique_ptr<Decoder> make_mirrored_decoder(const MirroredDecoderOptions& options, const LatentContext& context) {
  const Shape& event = context.event;
  if (event.size() != 3 || options.channels.empty())
    throw RequestError("decoder", fmt::format("needs images [C, H, W] and filters, not {}", format_shape(event)));
  Parameters parameters(context.init, context.dtype, context.device);
  std::vector<Layer> backwards;  // in the order of the encoder
  const std::vector<FeatureMap> maps = feature_maps(options.channels.size(), event, "decoder.channels");
  std::int64_t in = event[0] * observation_outputs(options), height = event[1], width = event[2];
  for (std::size_t i = 0; i < maps.size(); ++i) {
    const std::int64_t out = options.channels[i], side = maps[i].side;
    const std::string name = fmt::format("decoder.conv{}", maps.size() - i);
    Layer layer;
    layer.stride = maps[i].stride;
    layer.weight = parameters.weight(name + ".weight", {out, in, side, side});
    layer.bias = parameters.bias(name + ".bias", in, out * side * side);
    layer.height = height;
    layer.width = width;
    height = maps[i].height;
    width = maps[i].width;
    backwards.push_back(layer);
    in = out;
  }
  MlpShape shape;
  shape.input = context.latent_size;
  shape.hidden = options.hidden;
  shape.output = in * height * width;
  shape.activation = activation_from_name(options.activation);
  Network network{Mlp(parameters, "decoder", shape),
                  {backwards.rbegin(), backwards.rend()},
                  {in, height, width},
                  shape.activation,
                  context.code_scale};
  return std::make_unique<NetworkDecoder<Network>>(options, context, parameters, std::move(network));
}

}  // namespace gibbsite
