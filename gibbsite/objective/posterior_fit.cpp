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
    const Tensor h = posterior_.sample(v, 1, rng);
    if (!h.requires_grad())
      throw RequestError("encoder.draw", "these draws carry no gradient to fit the encoder by", "draw = \"relaxed\"");
    return loss(v, h, weight);
  }

 protected:
  const LatentEnergy& joint() const { return joint_; }
  const Posterior& posterior() const { return posterior_; }

 private:
  PosteriorFitOptions options_;
  const LatentEnergy& joint_;
  const Posterior& posterior_;
  // `weight` [B]: of every example, 1/B or less.
  virtual Loss loss(const Tensor& v, const Tensor& h, const Tensor& weight) const = 0;
};

class PosteriorKl : public PosteriorFit {
 public:
  using PosteriorFit::PosteriorFit;

 private:
  Loss loss(const Tensor& v, const Tensor& h, const Tensor& weight) const override {
    const Tensor point = h.detach().requires_grad_(true), energy = joint().joint(v, point);
    const Tensor slope = torch::autograd::grad({energy.sum()}, {point})[0], log_q = posterior().log_prob(v, h);
    return surrogate_loss((weight * ((slope * h).sum(-1) + log_q)).sum(), (weight * (energy + log_q).detach()).sum());
  }
};

class PosteriorFisher : public PosteriorFit {
 public:
  using PosteriorFit::PosteriorFit;

 private:
  Loss loss(const Tensor& v, const Tensor& h, const Tensor& weight) const override {
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
