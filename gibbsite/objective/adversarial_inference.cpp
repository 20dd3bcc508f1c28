#include <gibbsite/core/error.h>
#include <gibbsite/objective/adversarial_inference.h>
#include <gibbsite/objective/support.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

// Logits of D at the two pairs, [B] each.
struct Logits {
  Tensor of_data, of_draws;
};

class AdversarialInference : public Objective {
 public:
  AdversarialInference(const AdversarialInferenceOptions& options, const LatentParts& latent, bool critic)
      : options_(options), latent_(latent), critic_(critic) {}

  Loss operator()(const Batch& batch, Rng& rng) const override {
    const Logits logits = of_pairs(batch, rng);
    const double sign = critic_ ? 1 : -1;
    const Tensor loss = minus_log_sigmoid(sign * logits.of_data) + minus_log_sigmoid(-sign * logits.of_draws);
    return plain_loss(
        loss.mean(), {{"data_logit", logits.of_data.mean().detach()}, {"draw_logit", logits.of_draws.mean().detach()}});
  }

 private:
  AdversarialInferenceOptions options_;
  LatentParts latent_;
  bool critic_;

  Logits of_pairs(const Batch& batch, Rng& rng) const {
    Tensor codes, draws, decoded;
    {
      const torch::AutoGradMode graph(!critic_);
      codes = latent_.encoder->sample(batch.x, 1, rng).select(0, 0);
      draws = latent_.prior->sample(batch.x.size(0), codes, rng);
      decoded = latent_.decoder->mean(draws);
    }
    const double deviation = options_.noise * (1 - batch.progress);
    const auto logit = [&](const Tensor& v, const Tensor& h) {
      const Tensor seen = deviation > 0 ? v + deviation * rng.normal(v.sizes(), v) : v;
      return -latent_.score->energy_given(seen).value(h);
    };
    const Tensor of_data = logit(batch.x, codes);
    return {of_data, logit(decoded, draws)};
  }
};

std::unique_ptr<Objective> make(const AdversarialInferenceOptions& options, const ObjectiveParts& parts, bool critic) {
  const LatentParts& latent = parts.latent;
  if (!latent.encoder || !latent.decoder || !latent.prior || !latent.score)
    throw RequestError("objective", "adversarial inference needs an encoder, a decoder, a prior and a critic, [score]");
  require_code_energy(*latent.score, "adversarial inference");
  return std::make_unique<AdversarialInference>(options, latent, critic);
}

}  // namespace

std::unique_ptr<Objective> make_adversarial_inference(const AdversarialInferenceOptions& options,
                                                      const ObjectiveParts& parts) {
  return make(options, parts, false);
}

std::unique_ptr<Objective> make_inference_critic(const AdversarialInferenceOptions& options,
                                                 const ObjectiveParts& parts) {
  return make(options, parts, true);
}

}  // namespace gibbsite
