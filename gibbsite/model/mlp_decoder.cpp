#include <gibbsite/model/mlp_decoder.h>
#include <gibbsite/model/network_decoder.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

struct Network {
  Mlp body;
  double scale;
  Tensor forward(const Tensor& h) const { return body.forward(scaled(h, scale)); }
};

}  // namespace

std::unique_ptr<Decoder> make_mlp_decoder(const MlpDecoderOptions& options, const LatentContext& context) {
  Parameters parameters(context.init, context.dtype, context.device);
  const std::int64_t outputs = observation_outputs(options) * event_size(context.event);
  const Mlp body(parameters, "decoder", options.shape(context.latent_size, outputs));
  return std::make_unique<NetworkDecoder<Network>>(options, context, parameters, Network{body, context.code_scale});
}

}  // namespace gibbsite
