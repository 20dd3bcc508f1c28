#include <gibbsite/core/error.h>
#include <gibbsite/objective/autoencoder.h>
#include <gibbsite/objective/entropy.h>
#include <gibbsite/objective/support.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

class Autoencoder : public Objective {
 public:
  Autoencoder(const AutoencoderOptions& options, const LatentParts& latent, EntropyScore score)
      : options_(options),
        encoder_(*latent.encoder),
        decoder_(*latent.decoder),
        prior_(*latent.prior),
        score_(std::move(score)) {}

  Loss operator()(const Batch& batch, Rng& rng) const override {
    const Tensor h = encoder_.sample(batch.x, options_.particles, rng);
    const Tensor reconstruction = error(batch.x, h.narrow(0, 0, 1)).mean();
    const Tensor prior = prior_.energy(h).mean();
    const Tensor entropy = negative_entropy_surrogate(h, score_(batch.x, h, rng)).mean();
    return plain_loss(reconstruction + options_.regularisation * (prior + entropy),
                      {{"reconstruction", reconstruction.detach()}, {"prior", prior.detach()}});
  }

 private:
  AutoencoderOptions options_;
  const Posterior& encoder_;
  const Decoder& decoder_;
  const LatentPrior& prior_;
  EntropyScore score_;

  /// h: [1, B, K] -> [B].
  Tensor error(const Tensor& v, const Tensor& h) const {
    if (options_.reconstruction == "log_likelihood") return -decoder_.log_prob(v, h).select(0, 0);
    return sum_event((v - decoder_.mean(h.select(0, 0))).square());
  }
};

}  // namespace

std::unique_ptr<Objective> make_autoencoder(const AutoencoderOptions& options, const ObjectiveParts& parts) {
  const LatentParts& latent = parts.latent;
  if (!latent.encoder || !latent.decoder || !latent.prior)
    throw RequestError("objective", "autoencoder needs an encoder, a decoder and a prior");
  if (latent.score) return std::make_unique<Autoencoder>(options, latent, network_entropy_score(*latent.score));
  if (!latent.estimator)
    throw RequestError("objective", "autoencoder needs a score network of codes or a kernel estimator");
  if (!options.aggregate && options.particles < 2)
    throw RequestError("objective.particles", "a kernel estimator needs at least two codes per example",
                       "or objective.aggregate = true");
  return std::make_unique<Autoencoder>(options, latent, kernel_entropy_score(*latent.estimator, options.aggregate));
}

}  // namespace gibbsite
