#include <gibbsite/core/error.h>
#include <gibbsite/objective/latent_score_matching.h>
#include <gibbsite/objective/support.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

class LatentScoreMatching : public Objective {
 public:
  LatentScoreMatching(const LatentScoreMatchingOptions& options, const LatentParts& latent)
      : options_(options), encoder_(*latent.encoder), score_(*latent.score) {}

  Loss operator()(const Batch& batch, Rng& rng) const override {
    Tensor h;
    {
      const torch::NoGradGuard no_grad;
      h = encoder_.sample(batch.x, 1, rng).select(0, 0);
      if (options_.noise > 0) h = h + options_.noise * rng.normal(h.sizes(), h);
    }
    return sliced_score_loss(options_, true, *score_.given(batch.x), h, {}, batch.progress, rng);
  }
  bool differentiates_score() const override { return true; }

 private:
  LatentScoreMatchingOptions options_;
  const Posterior& encoder_;
  const LatentScore& score_;
};

}  // namespace

std::unique_ptr<Objective> make_latent_score_matching(const LatentScoreMatchingOptions& options,
                                                      const ObjectiveParts& parts) {
  if (!parts.latent.encoder || !parts.latent.score)
    throw RequestError("objective", "latent_ssm_vr needs an encoder and a score network of codes");
  require_jet(parts.latent.score->has_jet(), options.derivative);
  return std::make_unique<LatentScoreMatching>(options, parts.latent);
}

}  // namespace gibbsite
