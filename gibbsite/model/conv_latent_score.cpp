#include <gibbsite/model/conditioned_score.h>
#include <gibbsite/model/conv_latent_score.h>
#include <gibbsite/nn/conv_encoder.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

std::unique_ptr<LatentScore> make(const ConvLatentScoreOptions& options, const LatentContext& context,
                                  bool conditional) {
  require_code_form(context, options.form);
  Parameters parameters(context.init, context.dtype, context.device);
  ConvEncoderShape shape;
  shape.image = context.event;
  if (!conditional && !shape.image.empty()) shape.image[0] = 0;
  shape.vector = context.latent_size;
  shape.filters = options.filters;
  shape.stages = options.stages;
  shape.features = options.features;
  shape.output = options.form == "scalar" ? 1 : context.latent_size;
  shape.activation = activation_from_name(options.activation);
  ConvEncoder body(parameters, "score", shape);
  std::vector<LayerNote> layers;
  for (std::int64_t i = 0; i < options.stages + 2; ++i)
    layers.push_back({"activation" + std::to_string(i + 1), options.activation});
  if (options.form != "vector")
    return std::make_unique<CodeEnergy<ConvEncoder>>(parameters, std::move(body), options.form == "inner_product",
                                                     context.code_scale, layers);
  return std::make_unique<ConditionedScore<ConvEncoder>>(parameters, std::move(body), layers);
}

}  // namespace

std::unique_ptr<LatentScore> make_conditional_conv_score(const ConvLatentScoreOptions& options,
                                                         const LatentContext& context) {
  return make(options, context, true);
}

std::unique_ptr<LatentScore> make_aggregate_conv_score(const ConvLatentScoreOptions& options,
                                                       const LatentContext& context) {
  return make(options, context, false);
}

}  // namespace gibbsite
