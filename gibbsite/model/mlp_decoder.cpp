#include <gibbsite/model/mlp_decoder.h>
#include <gibbsite/model/network_decoder.h>
#include <gibbsite/nn/mlp.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

struct Network {
  Mlp body;
  Tensor forward(const Tensor& h) const { return body.forward(h); }
};

}  // namespace

std::unique_ptr<Decoder> make_mlp_decoder(const MlpDecoderOptions& options, const LatentContext& context) {
  Parameters parameters(context.init, context.dtype, context.device);
  MlpShape shape;
  shape.input = context.latent_size;
  shape.hidden = options.hidden;
  shape.output = event_size(context.event);
  shape.activation = activation_from_name(options.activation);
  const Mlp body(parameters, "decoder", shape);
  return std::make_unique<NetworkDecoder<Network>>(options, context, parameters, Network{body});
}

}  // namespace gibbsite
