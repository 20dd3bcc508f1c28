#include <gibbsite/core/error.h>
#include <gibbsite/model/mlp_energy.h>
#include <gibbsite/nn/head.h>
#include <gibbsite/nn/mlp.h>
#include <gibbsite/nn/recording.h>
#include <gibbsite/nn/trace.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

struct Network {
  static constexpr bool kTraced = true, kRecorded = true;
  Mlp body;
  Head head;
  std::optional<Tensor> skip;
  double confinement;

  template <class T>
  T forward(const T& x) const {
    const T flat = flattened(x);
    T energy = head.forward(body.forward(flat));
    if (skip) energy = plus(energy, column(lin(flat, *skip, Tensor())));
    if (confinement > 0) energy = plus(energy, scaled(total(squared(flat)), 0.5 * confinement));
    return energy;
  }
};

}  // namespace

std::unique_ptr<Energy> make_mlp_energy(const MlpEnergyOptions& options, const ModelContext& context) {
  if (options.hidden.empty()) throw RequestError("model.hidden", "an MLP needs at least one hidden layer");
  Parameters parameters(context.init, context.dtype, context.device);
  MlpShape shape;
  shape.input = event_size(context.event);
  shape.hidden = options.hidden;
  shape.activation = activation_from_name(options.activation);
  shape.norm = options.norm;
  Mlp body(parameters, "body", shape);
  Head head(parameters, "head", options.hidden.back(),
            options.head == "linear" ? HeadKind::kLinear : HeadKind::kQuadratic);
  std::optional<Tensor> skip;
  if (options.skip) skip = parameters.weight("skip.weight", {1, shape.input});
  std::vector<LayerNote> layers;
  for (std::size_t i = 0; i < options.hidden.size(); ++i)
    layers.push_back({"activation" + std::to_string(i + 1), options.activation});
  return std::make_unique<NetworkEnergy<Network>>(context, options, parameters,
                                                  Network{body, head, skip, options.confinement}, layers);
}

}  // namespace gibbsite
