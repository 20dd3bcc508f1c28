#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/model/residual_energy.h>
#include <gibbsite/nn/head.h>
#include <gibbsite/nn/residual.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

struct Network {
  ResidualNet body;
  Head head;

  template <class T>
  T forward(const T& x) const {
    return head.forward(flattened(body.forward(x)));
  }
};

}  // namespace

std::unique_ptr<Energy> make_residual_energy(const ResidualEnergyOptions& options, const ModelContext& context) {
  const std::int64_t smallest = std::int64_t{1} << options.stages;
  if (context.event.size() != 3 || context.event[1] < smallest || context.event[2] < smallest)
    throw RequestError("model",
                       fmt::format("a residual energy with {} stages needs images [C, H, W] of at least {}x{}, got {}",
                                   options.stages, smallest, smallest, format_shape(context.event)));
  Parameters parameters(context.init, context.dtype, context.device);
  ResidualShape shape;
  shape.channels = context.event[0];
  shape.filters = options.filters;
  shape.stages = options.stages;
  shape.blocks = options.blocks;
  shape.activation = activation_from_name(options.activation);
  shape.norm = options.norm;
  shape.recompute = options.recompute;
  ResidualNet body(parameters, "body", shape);
  Head head(parameters, "head", body.features(context.event[1], context.event[2]),
            options.head == "linear" ? HeadKind::kLinear : HeadKind::kQuadratic);
  std::vector<LayerNote> layers;
  for (std::int64_t stage = 1; stage <= options.stages; ++stage)
    for (std::int64_t block = 1; block <= options.blocks; ++block)
      layers.push_back({fmt::format("block{}{}", stage, block), options.activation});
  return std::make_unique<NetworkEnergy<Network>>(context, options, parameters, Network{body, head}, layers);
}

}  // namespace gibbsite
