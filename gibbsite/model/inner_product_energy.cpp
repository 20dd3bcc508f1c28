#include <gibbsite/core/error.h>
#include <gibbsite/model/inner_product_energy.h>
#include <gibbsite/nn/mlp.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

struct Network {
  Mlp psi;
  bool even;

  template <class T>
  T forward(const T& x) const {
    const T flat = flattened(x);
    if (!even) return total(times(flat, psi.forward(flat)));
    const T odd = plus(psi.forward(flat), scaled(psi.forward(scaled(flat, -1)), -1));
    return scaled(total(times(flat, odd)), 0.5);
  }
};

}  // namespace

std::unique_ptr<Energy> make_inner_product_energy(const InnerProductEnergyOptions& options,
                                                  const ModelContext& context) {
  if (options.hidden.empty()) throw RequestError("model.hidden", "the network needs at least one hidden layer");
  Parameters parameters(context.init, context.dtype, context.device);
  MlpShape shape;
  shape.input = shape.output = event_size(context.event);
  shape.hidden = options.hidden;
  shape.activation = activation_from_name(options.activation);
  shape.initial = MlpShape::Initial::kGlorot;
  Mlp psi(parameters, "psi", shape);
  std::vector<LayerNote> layers;
  for (std::size_t i = 0; i < options.hidden.size(); ++i)
    layers.push_back({"activation" + std::to_string(i + 1), options.activation});
  return std::make_unique<NetworkEnergy<Network>>(context, options, parameters, Network{psi, context.antipodal},
                                                  layers);
}

}  // namespace gibbsite
