#include <gibbsite/core/error.h>
#include <gibbsite/manifold/geodesic_jet.h>
#include <gibbsite/objective/minimum_velocity.h>
#include <gibbsite/objective/support.h>
#include <gibbsite/sampler/birth_death.h>
#include <gibbsite/sampler/langevin.h>
#include <gibbsite/sampler/stein.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

class Velocity {
 public:
  Velocity(const MinimumVelocityOptions& options, const ScalarFunction& energy, const Manifold* manifold,
           const Tensor& x)
      : options_(options), energy_(energy), manifold_(manifold), x_(x.detach()) {
    const torch::AutoGradMode record(true);
    const Tensor at = x_.clone().requires_grad_();
    value_ = energy.value(at);
    const Tensor ambient = torch::autograd::grad({value_.sum()}, {at}, {}, true, true)[0];
    score_ = -(manifold ? manifold->gradient(x_, ambient) : ambient);
    if (options.dynamics != "langevin") bandwidth_ = bandwidth_or_median(options.bandwidth, x_);
  }

  /// (2/ε)[E(x) - w E(x⁻) - ⟨score, ξ⟩].
  Tensor difference(Rng& rng, const Tensor& log_density, Tensor* moved) const {
    const double epsilon = options_.epsilon;
    const bool frozen = options_.negatives == "frozen" && options_.dynamics == "langevin";
    // The sampler's target is q^(1/2), of score ½s; that of CD-1 is q.
    const Tensor drift = frozen ? score_.detach() : direction();
    Tensor noise = torch::zeros_like(x_), share;
    if (noise_factor() > 0)
      noise = (manifold_ ? manifold_->tangent_noise(x_, rng) : rng.normal(x_.sizes(), x_)) *
              (std::sqrt(2 * epsilon) * noise_factor());
    const bool adaptive = options_.adaptive && options_.dynamics == "langevin";
    if (adaptive) {
      share = 1 / dot(score_, score_).detach().clamp_min(1);
      noise = scale_rows(noise, share.sqrt());
    }
    const Tensor to = langevin_update(x_, adaptive ? scale_rows(drift, share) : drift, noise, 2 * epsilon, manifold_);
    if (moved) *moved = to;
    Tensor after = energy_.value(frozen ? to.detach() : to);
    if (options_.dynamics == "birth_death")
      after = after * birth_death_weights(density(log_density), 0.5 * value_, epsilon);
    Tensor bracket = value_ - after;
    if (options_.control_variate && noise_factor() > 0) bracket = bracket - dot(score_, noise);
    return (adaptive ? bracket / share : bracket) * (2 / epsilon);
  }

  Tensor limit(Rng& rng, const Tensor& log_density) const {
    const double diffusion = noise_factor() * noise_factor();
    Tensor terms = 2 * dot(score_, direction());
    if (diffusion > 0) terms = terms - 2 * diffusion * laplacian_of_energy(rng);
    if (options_.dynamics == "birth_death") {
      const Tensor centred = value_ - value_.mean(), log_p = density(log_density);
      terms = terms + centred.square() + 2 * centred * (log_p - log_p.mean());
    }
    return terms;
  }

 private:
  const MinimumVelocityOptions& options_;
  const ScalarFunction& energy_;
  const Manifold* manifold_;
  Tensor x_, value_, score_;
  double bandwidth_ = 0;

  Tensor dot(const Tensor& u, const Tensor& v) const {
    return manifold_ ? manifold_->inner(x_, u, v) : sum_event(u * v);
  }
  Tensor density(const Tensor& given) const {
    return given.defined() ? given : log_kernel_density(x_, bandwidth_, manifold_);
  }
  // Of √(2ε) times a standard normal.
  double noise_factor() const {
    if (options_.dynamics == "svgd") return 0;
    return options_.dynamics == "spos" ? spos_noise_factor(options_.noise_law, options_.mix) : 1;
  }
  // The drift of the sampler for q^(1/2).
  Tensor direction() const {
    const Tensor half = 0.5 * score_;
    if (options_.dynamics != "svgd" && options_.dynamics != "spos") return half;
    const Tensor stein = stein_direction(x_, half, bandwidth_, manifold_);
    return options_.dynamics == "svgd" ? stein : options_.mix * stein + (1 - options_.mix) * half;
  }
  Tensor laplacian_of_energy(Rng& rng) const {
    if (options_.exact) {
      ScalarFunction f = energy_;
      if (options_.derivative == "autograd") f.jet = {};
      return laplace_beltrami(f, manifold_, x_, true).laplacian;
    }
    Tensor sum;
    for (std::int64_t p = 0; p < options_.projections; ++p) {
      const Tensor v =
          manifold_ ? manifold_->lift(
                          x_, options_.draw(torch::empty({x_.size(0), manifold_->dimension()}, x_.options()), rng))
                    : options_.draw(x_, rng);
      const Tensor one =
          geodesic_curvature(energy_, manifold_, x_, v, derivative_method_from_name(options_.derivative));
      sum = sum.defined() ? sum + one : one;
    }
    return sum / static_cast<double>(options_.projections);
  }
};

class MinimumVelocity : public Objective {
 public:
  MinimumVelocity(const MinimumVelocityOptions& options, const ObjectiveParts& parts)
      : options_(options), energy_(require_energy(parts, "mvl")), manifold_(parts.manifold) {
    if (options.form == "limit" && options.dynamics != "svgd") require_jet(energy_.has_jet(), options.derivative);
  }
  Loss operator()(const Batch& batch, Rng& rng) const override {
    return plain_loss(minimum_velocity_loss(options_, scalar_function(energy_), manifold_, batch.x, rng));
  }
  bool needs_second_derivative() const override { return true; }
  bool mixes_rows() const override { return options_.dynamics != "langevin"; }

 private:
  MinimumVelocityOptions options_;
  const Energy& energy_;
  std::shared_ptr<const Manifold> manifold_;
};

class LatentMinimumVelocity : public Objective {
 public:
  LatentMinimumVelocity(const MinimumVelocityOptions& options, const LatentParts& latent)
      : options_(options), encoder_(*latent.encoder), score_(*latent.score), manifold_(latent.prior->manifold()) {}
  Loss operator()(const Batch& batch, Rng& rng) const override {
    Tensor h;
    {
      const torch::NoGradGuard no_grad;
      h = encoder_.sample(batch.x, 1, rng).select(0, 0);
    }
    return plain_loss(minimum_velocity_loss(options_, score_.energy_given(batch.x), manifold_, h, rng));
  }
  bool differentiates_score() const override { return true; }
  bool mixes_rows() const override { return options_.dynamics != "langevin"; }

 private:
  MinimumVelocityOptions options_;
  const Posterior& encoder_;
  const LatentScore& score_;
  std::shared_ptr<const Manifold> manifold_;
};

}  // namespace

Tensor minimum_velocity_terms(const MinimumVelocityOptions& options, const ScalarFunction& energy,
                              const std::shared_ptr<const Manifold>& manifold, const Tensor& x, Rng& rng,
                              const Tensor& log_density, Tensor* moved) {
  const Velocity velocity(options, energy, manifold.get(), x);
  const Tensor terms =
      options.form == "limit" ? velocity.limit(rng, log_density) : velocity.difference(rng, log_density, moved);
  return options.scale == "paper" ? terms : 0.5 * terms;
}

Tensor minimum_velocity_loss(const MinimumVelocityOptions& options, const ScalarFunction& energy,
                             const std::shared_ptr<const Manifold>& manifold, const Tensor& x, Rng& rng) {
  Tensor moved;
  const Tensor loss = minimum_velocity_terms(options, energy, manifold, x, rng, {}, &moved).mean();
  if (options.magnitude == 0) return loss;
  const Tensor here = energy.value(x).square().mean();
  return loss + options.magnitude * (here + (moved.defined() ? energy.value(moved).square().mean() : here));
}

std::unique_ptr<Objective> make_minimum_velocity(const MinimumVelocityOptions& options, const ObjectiveParts& parts) {
  return std::make_unique<MinimumVelocity>(options, parts);
}

std::unique_ptr<Objective> make_latent_minimum_velocity(const MinimumVelocityOptions& options,
                                                        const ObjectiveParts& parts) {
  const LatentParts& latent = parts.latent;
  if (!latent.encoder || !latent.prior || !latent.score)
    throw RequestError("objective", "latent_mvl needs an encoder, a prior and a score network of codes");
  require_code_energy(*latent.score, "latent_mvl");
  return std::make_unique<LatentMinimumVelocity>(options, latent);
}

}  // namespace gibbsite
