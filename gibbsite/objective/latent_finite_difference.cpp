#include <gibbsite/core/error.h>
#include <gibbsite/objective/latent_finite_difference.h>
#include <gibbsite/objective/projection.h>
#include <gibbsite/objective/support.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

class LatentFiniteDifference : public Objective {
 public:
  LatentFiniteDifference(const LatentFiniteDifferenceOptions& options, const LatentParts& latent)
      : options_(options), posterior_(*latent.encoder), joint_(make_decoder_energy(*latent.decoder, *latent.prior)) {}

  Loss operator()(const Batch& batch, Rng& rng) const override {
    const Tensor u = displacement(rng.normal(batch.x.sizes(), batch.x), 1).step;
    return plain_loss(latent_finite_difference_loss(options_, *joint_, posterior_, batch.x, u, rng));
  }
  bool needs_second_derivative() const override { return true; }

 private:
  LatentFiniteDifferenceOptions options_;
  const Posterior& posterior_;
  std::unique_ptr<LatentEnergy> joint_;
};

}  // namespace

Tensor latent_finite_difference_loss(const LatentFiniteDifferenceOptions& options, const LatentEnergy& joint,
                                     const Posterior& posterior, const Tensor& v, const Tensor& u, const Rng& rng) {
  const auto estimate = [&](const char* name, const Tensor& at) {
    return sumo(joint, posterior, at, options, options.shared ? rng : rng.stream(name));
  };
  const Tensor plus = estimate("plus", v + options.epsilon * u), minus = estimate("minus", v - options.epsilon * u);
  const Tensor loss = plus + minus - 2 * estimate("centre", v) + (plus - minus).square() / 8;
  return loss.mean() / (options.epsilon * options.epsilon);
}

std::unique_ptr<Objective> make_latent_finite_difference(const LatentFiniteDifferenceOptions& options,
                                                         const ObjectiveParts& parts) {
  const LatentParts& latent = parts.latent;
  if (!latent.encoder || !latent.decoder || !latent.prior)
    throw RequestError("objective", "latent_fd_ssm needs an encoder, a decoder and a prior");
  if (!latent.encoder->has_log_prob())
    throw RequestError("objective", "latent_fd_ssm needs an encoder with a density", "encoder.name = \"gaussian\"");
  return std::make_unique<LatentFiniteDifference>(options, latent);
}

}  // namespace gibbsite
