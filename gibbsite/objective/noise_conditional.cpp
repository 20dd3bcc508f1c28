#include <gibbsite/core/error.h>
#include <gibbsite/model/noise_levels.h>
#include <gibbsite/objective/noise_conditional.h>
#include <gibbsite/objective/support.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

class NoiseConditional : public Objective {
 public:
  NoiseConditional(const NoiseConditionalOptions& options, const ConditionalScore& network)
      : options_(options), network_(network), sigmas_(torch::tensor(network.sigmas(), at::kDouble)) {}

  Loss operator()(const Batch& batch, Rng& rng) const override {
    const Tensor level = rng.integers({batch.x.size(0)}, network_.levels()).to(batch.x.device());
    const Tensor sigma = sigmas_.to(batch.x.options()).index_select(0, level);
    const Tensor x = batch.x + scale_rows(rng.normal(batch.x.sizes(), batch.x), sigma);
    return sliced_score_loss(options_, true, *given(network_, level), x, sigma.square(), batch.progress, rng);
  }
  bool differentiates_score() const override { return true; }

 private:
  NoiseConditionalOptions options_;
  const ConditionalScore& network_;
  Tensor sigmas_;
};

}  // namespace

std::unique_ptr<Objective> make_noise_conditional(const NoiseConditionalOptions& options, const ObjectiveParts& parts) {
  const auto* network = dynamic_cast<const ConditionalScore*>(parts.score);
  if (!network)
    throw RequestError("objective", "noise_conditional needs a score network told the noise level",
                       "score.name = \"ncsn\" is one");
  return std::make_unique<NoiseConditional>(options, *network);
}

}  // namespace gibbsite
