#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/objective/posterior_fit.h>
#include <gibbsite/objective/support.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

// The energy enters by its derivatives at frozen h only, so that its parameters get no gradient.
class PosteriorFit : public Objective {
 public:
  PosteriorFit(const PosteriorFitOptions& options, const LatentParts& latent)
      : options_(options), joint_(*latent.joint), posterior_(*latent.encoder) {}
  Loss operator()(const Batch& batch, Rng& rng) const override {
    Tensor v = batch.x;
    if (options_.noise > 0) v = v + options_.noise * rng.normal(v.sizes(), v);
    const Tensor h = posterior_.sample(v, 1, rng);
    if (!h.requires_grad())
      throw RequestError("encoder.draw", "these draws carry no gradient to fit the encoder by", "draw = \"relaxed\"");
    return loss(v, h);
  }

 protected:
  const LatentEnergy& joint() const { return joint_; }
  const Posterior& posterior() const { return posterior_; }

 private:
  PosteriorFitOptions options_;
  const LatentEnergy& joint_;
  const Posterior& posterior_;
  virtual Loss loss(const Tensor& v, const Tensor& h) const = 0;
};

class PosteriorKl : public PosteriorFit {
 public:
  using PosteriorFit::PosteriorFit;

 private:
  Loss loss(const Tensor& v, const Tensor& h) const override {
    const Tensor point = h.detach().requires_grad_(true), energy = joint().joint(v, point);
    const Tensor slope = torch::autograd::grad({energy.sum()}, {point})[0], log_q = posterior().log_prob(v, h);
    return surrogate_loss(((slope * h).sum(-1) + log_q).mean(), (energy + log_q).detach().mean());
  }
};

class PosteriorFisher : public PosteriorFit {
 public:
  using PosteriorFit::PosteriorFit;

 private:
  Loss loss(const Tensor& v, const Tensor& h) const override {
    const Tensor point = h.detach().requires_grad_(true), energy = joint().joint(v, point);
    const Tensor slope = torch::autograd::grad({energy.sum()}, {point}, {}, true, true)[0];
    const Tensor of_q = torch::autograd::grad({posterior().log_prob(v, h).sum()}, {h}, {}, true, true)[0];
    const Tensor residual = (slope + of_q).detach();
    const Tensor bend = torch::autograd::grad({slope}, {point}, {residual})[0];
    return surrogate_loss((bend * h + residual * of_q).sum(-1).mean(), 0.5 * residual.square().sum(-1).mean());
  }
};

const LatentParts& require_latent(const ObjectiveParts& parts, const char* objective) {
  if (!parts.latent.joint || !parts.latent.encoder)
    throw RequestError("objective", fmt::format("{} needs a latent-variable energy and an encoder", objective));
  if (!parts.latent.encoder->has_log_prob())
    throw RequestError("objective", fmt::format("{} needs an encoder with a density", objective),
                       "a Bernoulli or Gaussian one");
  return parts.latent;
}

}  // namespace

std::unique_ptr<Objective> make_posterior_kl(const PosteriorFitOptions& options, const ObjectiveParts& parts) {
  return std::make_unique<PosteriorKl>(options, require_latent(parts, "posterior_kl"));
}

std::unique_ptr<Objective> make_posterior_fisher(const PosteriorFitOptions& options, const ObjectiveParts& parts) {
  const LatentParts& latent = require_latent(parts, "posterior_fisher");
  if (latent.joint->discrete() || latent.encoder->discrete())
    throw RequestError("objective", "posterior_fisher needs continuous latent variables, and these are 0 or 1",
                       "posterior_kl");
  return std::make_unique<PosteriorFisher>(options, latent);
}

}  // namespace gibbsite
