#include <gibbsite/core/error.h>
#include <gibbsite/model/conditioned_score.h>
#include <gibbsite/model/mlp_latent_score.h>
#include <gibbsite/nn/conditioned_mlp.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

struct Joint : ConditionedMlp {
  using ConditionedMlp::ConditionedMlp;
  Tensor stock(const Tensor& v, const Tensor& h) const {
    const Tensor flat = v.flatten(1);
    return joined({at::cat({h.size(0) == flat.size(0) ? flat : flat.repeat({h.size(0) / flat.size(0), 1}), h}, 1)}).t;
  }
};

// The same without v.
struct Alone {
  Mlp body;
  Tensor condition(const Tensor& /*v*/) const { return {}; }
  template <class T>
  T forward(const T& h, const Tensor& /*condition*/) const {
    return body.forward(h);
  }
  Tensor stock(const Tensor& /*v*/, const Tensor& h) const { return body.forward(Stock{h}).t; }
};

template <class Body>
class StockScore : public ConditionedScore<Body> {
 public:
  using ConditionedScore<Body>::ConditionedScore;
  std::unique_ptr<Score> given(const Tensor& v) const override { return std::make_unique<Given>(this->body(), v); }
  bool has_jet() const override { return false; }

 private:
  class Given : public Score {
   public:
    Given(const Body& body, Tensor v) : body_(body), v_(std::move(v)) {}
    using Score::at;
    ScoreEval at(const Tensor& h, Rng&) const override {
      const Tensor value = body_.stock(v_, h);
      return {value.detach(), [value](const Tensor& z) { return (value * z).sum(); }};
    }

   private:
    const Body& body_;
    Tensor v_;
  };
};

template <class Body>
std::unique_ptr<LatentScore> make(const MlpLatentScoreOptions& options, const LatentContext& context,
                                  const Parameters& parameters, Body body) {
  std::vector<LayerNote> layers;
  for (std::size_t i = 0; i < options.hidden.size(); ++i)
    layers.push_back({"activation" + std::to_string(i + 1), options.activation});
  if (options.form != "vector")
    return std::make_unique<CodeEnergy<Body>>(parameters, std::move(body), options.form == "inner_product",
                                              context.code_scale, layers);
  if (options.operations == "stock") return std::make_unique<StockScore<Body>>(parameters, std::move(body), layers);
  return std::make_unique<ConditionedScore<Body>>(parameters, std::move(body), layers);
}

MlpShape shape_of(const MlpLatentScoreOptions& options, const LatentContext& context, std::int64_t input) {
  require_code_form(context, options.form);
  if (options.hidden.empty()) throw RequestError("score.hidden", "an MLP needs at least one hidden layer");
  return options.shape(input, options.form == "scalar" ? 1 : context.latent_size);
}

}  // namespace

std::unique_ptr<LatentScore> make_conditional_mlp_score(const MlpLatentScoreOptions& options,
                                                        const LatentContext& context) {
  const std::int64_t given = event_size(context.event);
  const MlpShape shape = shape_of(options, context, given + context.latent_size);
  Parameters parameters(context.init, context.dtype, context.device);
  return make(options, context, parameters, Joint(parameters, "score", shape, given));
}

std::unique_ptr<LatentScore> make_aggregate_mlp_score(const MlpLatentScoreOptions& options,
                                                      const LatentContext& context) {
  const MlpShape shape = shape_of(options, context, context.latent_size);
  Parameters parameters(context.init, context.dtype, context.device);
  return make(options, context, parameters, Alone{Mlp(parameters, "body", shape)});
}

}  // namespace gibbsite
