#include <gibbsite/core/error.h>
#include <gibbsite/model/conditioned_score.h>
#include <gibbsite/model/mlp_latent_score.h>
#include <gibbsite/model/mlp_score.h>
#include <gibbsite/nn/conditioned_mlp.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

class GivenStock : public Score {
 public:
  GivenStock(const ConditionedMlp& body, Tensor v) : body_(body), v_(std::move(v)) {}
  using Score::at;
  ScoreEval at(const Tensor& h, Rng&) const override {
    const Tensor v = h.size(0) == v_.size(0) ? v_ : v_.repeat({h.size(0) / v_.size(0), 1});
    const Tensor value = body_.joined({at::cat({v, h}, 1)}).t;
    return {value.detach(), [value](const Tensor& z) { return (value * z).sum(); }};
  }

 private:
  const ConditionedMlp& body_;
  Tensor v_;
};

class StockMlp : public ConditionedScore<ConditionedMlp> {
 public:
  using ConditionedScore<ConditionedMlp>::ConditionedScore;
  std::unique_ptr<Score> given(const Tensor& v) const override {
    return std::make_unique<GivenStock>(body(), v.flatten(1));
  }
  bool has_jet() const override { return false; }
};

// A score network of h as it is.
class Aggregate : public LatentScore {
 public:
  explicit Aggregate(std::unique_ptr<ScoreNetwork> network) : network_(std::move(network)) {}
  std::unique_ptr<Score> given(const Tensor&) const override { return std::make_unique<Same>(*network_); }
  torch::nn::Module& module() override { return network_->module(); }
  bool has_jet() const override { return network_->has_jet(); }
  std::vector<LayerNote> layers() const override { return network_->layers(); }

 private:
  class Same : public Score {
   public:
    explicit Same(const ScoreNetwork& network) : network_(network) {}
    ScoreEval at(const Tensor& h, Rng& rng) const override { return network_.at(h, rng); }
    std::optional<Jet> at(const Jet& h, Rng& rng) const override { return network_.at(h, rng); }
    bool has_jet() const override { return network_.has_jet(); }

   private:
    const ScoreNetwork& network_;
  };
  std::unique_ptr<ScoreNetwork> network_;
};

}  // namespace

std::unique_ptr<LatentScore> make_conditional_mlp_score(const MlpLatentScoreOptions& options,
                                                        const LatentContext& context) {
  if (options.hidden.empty()) throw RequestError("score.hidden", "an MLP needs at least one hidden layer");
  Parameters parameters(context.init, context.dtype, context.device);
  MlpShape shape;
  shape.input = event_size(context.event) + context.latent_size;
  shape.hidden = options.hidden;
  shape.output = context.latent_size;
  shape.activation = activation_from_name(options.activation);
  ConditionedMlp body(parameters, "score", shape, event_size(context.event));
  std::vector<LayerNote> layers;
  for (std::size_t i = 0; i < options.hidden.size(); ++i)
    layers.push_back({"activation" + std::to_string(i + 1), options.activation});
  if (options.operations == "stock") return std::make_unique<StockMlp>(parameters, std::move(body), layers);
  return std::make_unique<ConditionedScore<ConditionedMlp>>(parameters, std::move(body), layers);
}

std::unique_ptr<LatentScore> make_aggregate_mlp_score(const MlpLatentScoreOptions& options,
                                                      const LatentContext& context) {
  MlpScoreOptions network;
  static_cast<NetworkOptions&>(network) = options;
  network.hidden = options.hidden;
  ModelContext codes = context;
  codes.event = {context.latent_size};
  return std::make_unique<Aggregate>(make_mlp_score(network, codes));
}

}  // namespace gibbsite
