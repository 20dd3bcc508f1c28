#include <gibbsite/core/error.h>
#include <gibbsite/model/mlp_score.h>
#include <gibbsite/nn/mlp.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

Tensor shaped(const Tensor& x, const Shape& event) {
  Shape sizes = event;
  sizes.insert(sizes.begin(), x.size(0));
  return x.view(sizes);
}
Jet shaped(const Jet& x, const Shape& event) { return x.with(shaped(x.c, event)); }
Stock shaped(const Stock& x, const Shape& event) { return {shaped(x.t, event)}; }

struct Network {
  Mlp body;
  Shape event;

  template <class T>
  T forward(const T& x) const {
    return shaped(body.forward(flattened(x)), event);
  }
};

}  // namespace

std::unique_ptr<ScoreNetwork> make_mlp_score(const MlpScoreOptions& options, const ModelContext& context) {
  if (options.hidden.empty()) throw RequestError("score.hidden", "an MLP needs at least one hidden layer");
  Parameters parameters(context.init, context.dtype, context.device);
  MlpShape shape;
  shape.input = event_size(context.event);
  shape.hidden = options.hidden;
  shape.output = shape.input;
  shape.activation = activation_from_name(options.activation);
  shape.skip = options.skip;
  shape.norm = options.norm;
  Mlp body(parameters, "body", shape);
  std::vector<LayerNote> layers;
  for (std::size_t i = 0; i < options.hidden.size(); ++i)
    layers.push_back({"activation" + std::to_string(i + 1), options.activation});
  return std::make_unique<NetworkScore<Network>>(context, options, parameters, Network{body, context.event}, layers);
}

}  // namespace gibbsite
