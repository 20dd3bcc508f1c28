#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/model/affine_latent.h>
#include <gibbsite/objective/bilevel_score_matching.h>
#include <gibbsite/objective/support.h>
#include <gibbsite/posterior/reparameterised.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

Tensor gradient(const Tensor& y, const Tensor& x, bool keep) {
  return torch::autograd::grad({y.sum()}, {x}, {}, keep, keep)[0];
}

// Rows of x one after the other, L times.
Tensor repeated(const Tensor& x, std::int64_t times) {
  if (times == 1) return x;
  Shape sizes(static_cast<std::size_t>(x.dim()), 1);
  sizes[0] = times;
  return x.repeat(sizes);
}

// A batch as the objective sees it.
struct Noisy {
  Tensor v;
  Tensor noise;  // in v, in units of the objective; undefined for sliced score matching
  Tensor level;  // [B], what the loss of the encoder is divided by; undefined: 1
};

class Bilevel : public Objective {
 public:
  Bilevel(const BilevelOptions& options, const LatentParts& latent)
      : options_(options),
        joint_(*latent.joint),
        affine_(dynamic_cast<const AffineLatentModel*>(latent.joint)),
        encoder_(*latent.encoder) {
    if (options.unroll > 0 && options.divergence == "fisher" && (joint_.discrete() || encoder_.discrete()))
      throw RequestError("objective.divergence",
                         "the Fisher divergence needs continuous latent variables, and these are 0 or 1", "kl");
    if (options.unroll > 0) encoder_.with(frozen());
  }

  /// Inner updates see the batch.
  bool mixes_rows() const override { return options_.unroll > 0; }
  Loss operator()(const Batch& batch, Rng& rng) const override {
    const Noisy noisy = corrupted(batch, rng);
    const std::int64_t l = options_.particles;
    const std::unique_ptr<Posterior> q = unrolled(batch, rng.stream("unroll"));
    const Tensor h = q->sample(noisy.v.detach(), l, rng).flatten(0, 1).unsqueeze(0);
    const Tensor v = repeated(noisy.v.detach(), l).requires_grad_(true);
    return plain_loss(loss(score(*q, v, h), v, noisy, rng));
  }

 protected:
  std::int64_t particles() const { return options_.particles; }

 private:
  BilevelOptions options_;
  const LatentEnergy& joint_;
  const AffineLatentModel* affine_;  // the joint energy, or null
  const Posterior& encoder_;

  virtual Noisy corrupted(const Batch& batch, Rng& rng) const = 0;
  // Of the scores at v, both [L B, *event], particle by particle.
  virtual Tensor loss(const Tensor& score, const Tensor& v, const Noisy& noisy, Rng& rng) const = 0;
  virtual bool differentiates_score_in_v() const { return false; }

  // Posterior::module is for optimisers, and changes nothing here.
  torch::nn::Module& module() const { return const_cast<Posterior&>(encoder_).module(); }

  NamedTensors frozen() const {
    NamedTensors parameters;
    for (const auto& item : module().named_parameters()) parameters.emplace_back(item.key(), item.value().detach());
    return parameters;
  }

  // The encoder after the updates of a copy, a function of the energy's parameters.
  std::unique_ptr<Posterior> unrolled(const Batch& batch, Rng rng) const {
    NamedTensors named = frozen();
    if (options_.unroll == 0) return encoder_.with(named);
    if (!batch.adam)
      throw RequestError("objective.unroll",
                         "there is no phase that trains the encoder, whose updates would be gone on with",
                         "unroll = 0, or a phase of posterior_kl by adam");
    AdamState adam = batch.adam(module());
    std::vector<Tensor> phi;
    for (const auto& item : named) phi.push_back(item.second.requires_grad_(true));
    std::unique_ptr<Posterior> q = encoder_.with(named);
    for (std::int64_t step = 0; step < options_.unroll; ++step) {
      const Noisy noisy = corrupted(batch, rng);
      phi = adam_step(adam, phi, misfit_gradient(*q, phi, noisy.v.detach(), noisy.level, rng));
      for (std::size_t i = 0; i < phi.size(); ++i) named[i].second = phi[i];
      q = encoder_.with(named);
    }
    return q;
  }

  // ∇_v (log p̃(v, h) - log q(h | v)) with a graph in the energy's parameters, h [1, L B, K]. Without unrolling q is a
  // constant, whose share of the gradient needs no graph of its own unless it is differentiated in v.
  Tensor score(const Posterior& q, const Tensor& v, const Tensor& h) const {
    const bool of_constant = options_.unroll == 0 && !differentiates_score_in_v();
    const auto* moving = dynamic_cast<const ReparameterisedPosterior*>(&q);
    if (affine_ && moving && !differentiates_score_in_v()) {
      const Tensor law = moving->law(v), slope = moving->density_gradient(law, h).squeeze(0);
      const Tensor of_q = torch::autograd::grad({law}, {v}, {slope}, !of_constant, !of_constant)[0];
      return affine_->conditional_score(v.detach(), h.squeeze(0)) - of_q;
    }
    const Tensor energy = joint_.joint(v, h), log_q = q.log_prob(v, h);
    if (!of_constant) return -gradient(energy + log_q, v, true);
    return -gradient(energy, v, true) - (log_q.requires_grad() ? gradient(log_q, v, false) : torch::zeros_like(v));
  }

  // Of the divergence in the parameters of q, with a graph.
  std::vector<Tensor> misfit_gradient(const Posterior& q, const std::vector<Tensor>& phi, const Tensor& v,
                                      const Tensor& level, Rng& rng) const {
    const auto* moving = dynamic_cast<const ReparameterisedPosterior*>(&q);
    if (affine_ && moving && moving->draws_move() && options_.divergence == "kl") {
      const Tensor law = moving->law(v), h = moving->draw(law, 1, rng);
      const Tensor each = moving->drawn_gradient(law, h, -affine_->latent_logits(v)).squeeze(0);
      const Tensor shared = (level.defined() ? each / level.unsqueeze(1) : each) / static_cast<double>(v.size(0));
      return torch::autograd::grad({law}, phi, {shared}, true, true);
    }
    const Tensor h = q.sample(v, 1, rng);
    if (!h.requires_grad())
      throw RequestError("encoder.draw", "these draws carry no gradient to fit the encoder by", "draw = \"relaxed\"");
    Tensor each = joint_.joint(v, h) + q.log_prob(v, h);
    if (options_.divergence == "fisher") each = 0.5 * gradient(each, h, true).square().sum(-1);
    return torch::autograd::grad({(level.defined() ? each / level : each).mean()}, phi, {}, true, true);
  }
};

class BilevelDenoising : public Bilevel {
 public:
  BilevelDenoising(const BilevelDenoisingOptions& options, const LatentParts& latent)
      : Bilevel(options, latent), sigma_(options.sigma) {}

 private:
  double sigma_;

  Noisy corrupted(const Batch& batch, Rng& rng) const override {
    const Tensor noise = rng.normal(batch.x.sizes(), batch.x);
    return {at::add(batch.x, noise, sigma_), noise, {}};
  }
  Tensor loss(const Tensor& score, const Tensor&, const Noisy& noisy, Rng&) const override {
    return 0.5 * sum_event(at::add(score, repeated(noisy.noise, particles()), 1 / sigma_).square()).mean();
  }
};

class BilevelMultiscale : public Bilevel {
 public:
  BilevelMultiscale(const BilevelMultiscaleOptions& options, const LatentParts& latent)
      : Bilevel(options, latent), options_(options) {
    options.check();
  }

 private:
  BilevelMultiscaleOptions options_;

  Noisy corrupted(const Batch& batch, Rng& rng) const override {
    const Tensor level = options_.levels(batch), noise = scale_rows(rng.normal(batch.x.sizes(), batch.x), level);
    return {batch.x + noise, noise, level};
  }
  Tensor loss(const Tensor& score, const Tensor&, const Noisy& noisy, Rng&) const override {
    const double precision = 1 / (options_.sigma * options_.sigma);
    const Tensor away = sum_event(at::add(score, repeated(noisy.noise, particles()), precision).square());
    return (options_.factor / repeated(noisy.level, particles()).square() * away).mean();
  }
};

class BilevelSliced : public Bilevel {
 public:
  BilevelSliced(const BilevelSlicedOptions& options, const LatentParts& latent)
      : Bilevel(options, latent), options_(options) {}
  bool needs_second_derivative() const override { return true; }

 private:
  BilevelSlicedOptions options_;

  bool differentiates_score_in_v() const override { return true; }
  Noisy corrupted(const Batch& batch, Rng&) const override { return {batch.x, {}, {}}; }
  Tensor loss(const Tensor& score, const Tensor& v, const Noisy& noisy, Rng& rng) const override {
    Tensor value = 0.5 * sum_event(score.square()).mean();
    for (std::int64_t p = 0; p < options_.projections; ++p) {
      const Tensor u = repeated(options_.draw(noisy.v, rng), particles());
      value = value + sum_event(u * gradient(score * u, v, true)).mean() / static_cast<double>(options_.projections);
    }
    return value;
  }
};

}  // namespace

std::unique_ptr<Objective> make_bilevel_denoising(const BilevelDenoisingOptions& options, const ObjectiveParts& parts) {
  return std::make_unique<BilevelDenoising>(options, require_latent(parts, "bidsm"));
}

std::unique_ptr<Objective> make_bilevel_sliced(const BilevelSlicedOptions& options, const ObjectiveParts& parts) {
  return std::make_unique<BilevelSliced>(options, require_latent(parts, "bissm"));
}

std::unique_ptr<Objective> make_bilevel_multiscale(const BilevelMultiscaleOptions& options,
                                                   const ObjectiveParts& parts) {
  return std::make_unique<BilevelMultiscale>(options, require_latent(parts, "bimdsm"));
}

}  // namespace gibbsite
