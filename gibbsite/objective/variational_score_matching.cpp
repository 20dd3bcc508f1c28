#include <gibbsite/core/error.h>
#include <gibbsite/objective/support.h>
#include <gibbsite/objective/variational_score_matching.h>
#include <gibbsite/posterior/variational_curvature.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

class VariationalScoreMatching : public Objective {
 public:
  VariationalScoreMatching(const VariationalScoreMatchingOptions& options, const ObjectiveParts& parts)
      : options_(options),
        score_(*parts.variational_score),
        joint_(*parts.latent.joint),
        encoder_(*parts.latent.encoder) {}
  Loss operator()(const Batch& batch, Rng& rng) const override {
    const Tensor& v = batch.x;
    const auto rows = static_cast<double>(v.size(0)), projections = static_cast<double>(options_.projections);
    const ScoreEval score = score_.at(v, rng);
    Tensor surrogate = score.pullback(score.value / rows);
    Tensor value = 0.5 * sum_event(score.value.square()).mean();
    for (std::int64_t p = 0; p < options_.projections; ++p) {
      const Tensor u = options_.draw(v, rng);
      Tensor h;
      {
        const torch::NoGradGuard no_grad;
        h = encoder_.sample(v, options_.particles, rng);
      }
      const VariationalCurvature curvature = variational_curvature(joint_, v, h, u);
      surrogate = surrogate + curvature.surrogate.mean() / projections;
      value = value + curvature.value.mean() / projections;
    }
    return surrogate_loss(surrogate, value);
  }

 private:
  VariationalScoreMatchingOptions options_;
  const Score& score_;
  const LatentEnergy& joint_;
  const Posterior& encoder_;
};

}  // namespace

std::unique_ptr<Objective> make_variational_score_matching(const VariationalScoreMatchingOptions& options,
                                                           const ObjectiveParts& parts) {
  if (!parts.variational_score || !parts.latent.joint || !parts.latent.encoder)
    throw RequestError("objective",
                       "variational_ssm needs a latent-variable energy, an encoder and a variational score");
  return std::make_unique<VariationalScoreMatching>(options, parts);
}

}  // namespace gibbsite
