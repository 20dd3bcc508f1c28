#include <fmt/format.h>
#include <gibbsite/calculus/known_gradient.h>
#include <gibbsite/core/error.h>
#include <gibbsite/model/affine_latent.h>
#include <gibbsite/objective/posterior_fit.h>
#include <gibbsite/objective/support.h>
#include <gibbsite/posterior/reparameterised.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

// E(v, h) of frozen h and its gradient in h, without graphs.
struct FrozenJoint {
  Tensor energy, slope;  // [L, B], like h or broadcast to it
};

FrozenJoint frozen_joint(const LatentEnergy& joint, const Tensor& v, const Tensor& h) {
  if (const auto* affine = dynamic_cast<const AffineLatentModel*>(&joint)) {
    const torch::NoGradGuard no_grad;
    const Tensor logits = affine->latent_logits(v);
    return {-affine->offset(v) - (h * logits).sum(-1), -logits};
  }
  const at::AutoGradMode enabled(true);
  const Tensor point = h.detach().requires_grad_(true), energy = joint.joint(v, point);
  return {energy.detach(), torch::autograd::grad({energy.sum()}, {point})[0]};
}

void require_gradient(const Tensor& drawn) {
  if (!drawn.requires_grad())
    throw RequestError("encoder.draw", "these draws carry no gradient to fit the encoder by", "draw = \"relaxed\"");
}

// The energy enters by its derivatives at frozen h only, so that its parameters get no gradient.
class PosteriorFit : public Objective {
 public:
  PosteriorFit(const PosteriorFitOptions& options, const LatentParts& latent)
      : options_(options), joint_(*latent.joint), posterior_(*latent.encoder) {
    options.check();
  }
  Loss operator()(const Batch& batch, Rng& rng) const override {
    Tensor v = batch.x, weight = torch::full({v.size(0)}, 1 / static_cast<double>(v.size(0)), v.options());
    if (options_.levels_of == "grid") {
      const Tensor level = options_.levels(batch);
      v = v + scale_rows(rng.normal(v.sizes(), v), level);
      weight = weight / level;
    } else if (options_.noise > 0) {
      v = v + options_.noise * rng.normal(v.sizes(), v);
    }
    return loss(v, weight, rng);
  }

 protected:
  /// One per example, [1, B, K].
  Tensor draw(const Tensor& v, Rng& rng) const {
    Tensor h = posterior_.sample(v, 1, rng);
    require_gradient(h);
    return h;
  }
  const LatentEnergy& joint() const { return joint_; }
  const Posterior& posterior() const { return posterior_; }

 private:
  PosteriorFitOptions options_;
  const LatentEnergy& joint_;
  const Posterior& posterior_;
  // `weight` [B]: of every example, 1/B or less.
  virtual Loss loss(const Tensor& v, const Tensor& weight, Rng& rng) const = 0;
};

class PosteriorKl : public PosteriorFit {
 public:
  PosteriorKl(const PosteriorFitOptions& options, const LatentParts& latent)
      : PosteriorFit(options, latent), moving_(dynamic_cast<const ReparameterisedPosterior*>(latent.encoder)) {
    if (moving_ && !moving_->draws_move()) moving_ = nullptr;
  }

 private:
  const ReparameterisedPosterior* moving_;  // the posterior, or null

  Loss loss(const Tensor& v, const Tensor& weight, Rng& rng) const override {
    if (!moving_) {
      const Tensor h = draw(v, rng), log_q = posterior().log_prob(v, h);
      const FrozenJoint frozen = frozen_joint(joint(), v, h);
      return surrogate_loss((weight * ((frozen.slope * h).sum(-1) + log_q)).sum(),
                            (weight * (frozen.energy + log_q).detach()).sum());
    }
    const Tensor law = moving_->law(v);
    require_gradient(law);
    Tensor value, gradient;
    {
      const torch::NoGradGuard no_grad;
      const Tensor h = moving_->draw(law, 1, rng);
      const FrozenJoint frozen = frozen_joint(joint(), v, h);
      value = (weight * (frozen.energy + moving_->log_density(law, h))).sum();
      gradient = scale_rows(moving_->drawn_gradient(law, h, frozen.slope).squeeze(0), weight);
    }
    return plain_loss(known_gradient(value, {law}, {gradient}));
  }
};

class PosteriorFisher : public PosteriorFit {
 public:
  using PosteriorFit::PosteriorFit;

 private:
  Loss loss(const Tensor& v, const Tensor& weight, Rng& rng) const override {
    const Tensor h = draw(v, rng);
    const Tensor point = h.detach().requires_grad_(true), energy = joint().joint(v, point);
    const Tensor slope = torch::autograd::grad({energy.sum()}, {point}, {}, true, true)[0];
    const Tensor of_q = torch::autograd::grad({posterior().log_prob(v, h).sum()}, {h}, {}, true, true)[0];
    const Tensor residual = (slope + of_q).detach();
    const Tensor bend = torch::autograd::grad({slope}, {point}, {residual})[0];
    return surrogate_loss((weight * (bend * h + residual * of_q).sum(-1)).sum(),
                          0.5 * (weight * residual.square().sum(-1)).sum());
  }
};

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
