#include <gibbsite/core/error.h>
#include <gibbsite/objective/autoencoder.h>
#include <gibbsite/objective/entropy.h>
#include <gibbsite/objective/mean_discrepancy.h>
#include <gibbsite/objective/support.h>
#include <torch/types.h>

#include <algorithm>

namespace gibbsite {
namespace {

// Codes of a batch, [L, B, K], and the surrogate of their divergence from the prior, 0-dim.
struct Encoded {
  Tensor h, divergence;
  NamedTensors log = {};
};
using Encode = std::function<Encoded(const Tensor& v, Rng& rng)>;

class Autoencoder : public Objective {
 public:
  Autoencoder(const AutoencoderOptions& options, const Decoder& decoder, Encode encode)
      : options_(options), decoder_(decoder), encode_(std::move(encode)) {}

  bool mixes_rows() const override {
    return options_.divergence == "mmd" || (options_.divergence == "score" && options_.aggregate);
  }

  Loss operator()(const Batch& batch, Rng& rng) const override {
    const Encoded codes = encode_(batch.x, rng);
    const Tensor reconstruction = error(batch.x, codes.h.narrow(0, 0, 1)).mean();
    NamedTensors log = {{"reconstruction", reconstruction.detach()}};
    if (codes.log.empty())
      log.emplace_back("divergence", codes.divergence.detach());
    else
      log.insert(log.end(), codes.log.begin(), codes.log.end());
    double weight = options_.regularisation;
    if (options_.warmup > 0) weight *= std::min(1.0, batch.progress / options_.warmup);
    return plain_loss(reconstruction + weight * codes.divergence, std::move(log));
  }

 private:
  AutoencoderOptions options_;
  const Decoder& decoder_;
  Encode encode_;

  /// h: [1, B, K] -> [B].
  Tensor error(const Tensor& v, const Tensor& h) const {
    if (options_.reconstruction == "log_likelihood") return -decoder_.log_prob(v, h).select(0, 0);
    return sum_event((v - decoder_.mean(h.select(0, 0))).square());
  }
};

EntropyScore entropy_score(const AutoencoderOptions& options, const LatentParts& latent) {
  if (latent.score) return network_entropy_score(*latent.score);
  if (!latent.estimator)
    throw RequestError("objective", "autoencoder needs a score network of codes or a kernel estimator");
  if (latent.prior->manifold())
    throw RequestError("estimator", "kernel estimators know nothing of manifolds", "a [score] of codes");
  if (!options.aggregate && options.particles < 2)
    throw RequestError("objective.particles", "a kernel estimator needs at least two codes per example",
                       "or objective.aggregate = true");
  return kernel_entropy_score(*latent.estimator, options.aggregate);
}

Encode by_score(const AutoencoderOptions& options, const LatentParts& latent) {
  return [latent, particles = options.particles, score = entropy_score(options, latent)](const Tensor& v, Rng& rng) {
    const Tensor h = latent.encoder->sample(v, particles, rng), prior = latent.prior->energy(h).mean();
    const Tensor entropy = negative_entropy_surrogate(h, score(v, h, rng)).mean();
    return Encoded{h, prior + entropy, {{"prior", prior.detach()}}};
  };
}

Encode in_closed_form(const AutoencoderOptions& options, const LatentParts& latent) {
  if (!latent.encoder->has_divergence())
    throw RequestError("objective.divergence", "the law of this encoder's codes has no formula",
                       "divergence = \"score\"");
  if (!latent.prior->standard())
    throw RequestError("objective.divergence", "the divergence from a mixture has no formula",
                       "divergence = \"draws\"");
  return [latent, particles = options.particles](const Tensor& v, Rng& rng) {
    const DrawWithDivergence drawn = *latent.encoder->sample_with_divergence(v, particles, rng);
    return Encoded{drawn.h, drawn.divergence.mean()};
  };
}

Encode by_draws(const AutoencoderOptions& options, const LatentParts& latent) {
  if (!latent.encoder->has_log_prob())
    throw RequestError("objective.divergence", "the law of this encoder's codes has no density",
                       "divergence = \"score\"");
  return [latent, particles = options.particles](const Tensor& v, Rng& rng) {
    const DrawWithLogProb drawn = latent.encoder->sample_with_log_prob(v, particles, rng);
    return Encoded{drawn.h, (drawn.log_prob + latent.prior->energy(drawn.h)).mean()};
  };
}

Encode by_critic(const AutoencoderOptions& options, const LatentParts& latent) {
  if (!latent.score) throw RequestError("objective", "an adversarial divergence needs a critic of codes, [score]");
  require_code_energy(*latent.score, "an adversarial divergence");
  return [latent, particles = options.particles](const Tensor& v, Rng& rng) {
    const Tensor h = latent.encoder->sample(v, particles, rng);
    const Tensor logit = -latent.score->energy_given(v).value(h.flatten(0, 1));
    return Encoded{h, minus_log_sigmoid(logit).mean()};
  };
}

Encode by_discrepancy(const AutoencoderOptions& options, const LatentParts& latent) {
  return [latent, particles = options.particles](const Tensor& v, Rng& rng) {
    const Tensor h = latent.encoder->sample(v, particles, rng), codes = h.flatten(0, 1);
    return Encoded{h, mean_discrepancy(latent.prior->sample(codes.size(0), codes, rng), codes)};
  };
}

class LatentAdversarial : public Objective {
 public:
  LatentAdversarial(const AdversarialOptions& options, const LatentParts& latent)
      : options_(options), encoder_(*latent.encoder), prior_(*latent.prior), score_(*latent.score) {}

  Loss operator()(const Batch& batch, Rng& rng) const override {
    Tensor codes, draws;
    {
      const torch::NoGradGuard no_grad;
      codes = encoder_.sample(batch.x, 1, rng).select(0, 0);
      draws = prior_.sample(codes.size(0), codes, rng);
    }
    const ScalarFunction energy = score_.energy_given(batch.x);
    const Tensor of_prior = -energy.value(draws), of_codes = -energy.value(codes);
    const double least = 1e-7;
    Tensor loss = -(of_prior.sigmoid() + least).log().mean() - ((-of_codes).sigmoid() + least).log().mean();
    if (options_.magnitude > 0) loss = loss + 2 * options_.magnitude * of_codes.square().mean();
    return plain_loss(loss);
  }

 private:
  AdversarialOptions options_;
  const Posterior& encoder_;
  const LatentPrior& prior_;
  const LatentScore& score_;
};

}  // namespace

std::unique_ptr<Objective> make_autoencoder(const AutoencoderOptions& options, const ObjectiveParts& parts) {
  const LatentParts& latent = parts.latent;
  if (!latent.encoder || !latent.decoder || !latent.prior)
    throw RequestError("objective", "autoencoder needs an encoder, a decoder and a prior");
  const auto encode = options.divergence == "score"         ? by_score
                      : options.divergence == "closed_form" ? in_closed_form
                      : options.divergence == "draws"       ? by_draws
                      : options.divergence == "adversarial" ? by_critic
                                                            : by_discrepancy;
  return std::make_unique<Autoencoder>(options, *latent.decoder, encode(options, latent));
}

std::unique_ptr<Objective> make_latent_adversarial(const AdversarialOptions& options, const ObjectiveParts& parts) {
  const LatentParts& latent = parts.latent;
  if (!latent.encoder || !latent.prior || !latent.score)
    throw RequestError("objective", "latent_adversarial needs an encoder, a prior and a critic of codes");
  require_code_energy(*latent.score, "latent_adversarial");
  return std::make_unique<LatentAdversarial>(options, latent);
}

}  // namespace gibbsite
