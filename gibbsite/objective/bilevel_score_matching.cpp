#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/objective/bilevel_score_matching.h>
#include <gibbsite/objective/support.h>
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
  Tensor target;  // the score the model is compared with; undefined for sliced score matching
  Tensor level;   // [B], what the loss of the encoder is divided by; undefined: 1
};

class Bilevel : public Objective {
 public:
  Bilevel(const BilevelOptions& options, const LatentParts& latent)
      : options_(options), joint_(*latent.joint), encoder_(*latent.encoder) {
    if (options.unroll > 0 && options.divergence == "fisher" && (joint_.discrete() || encoder_.discrete()))
      throw RequestError("objective.divergence",
                         "the Fisher divergence needs continuous latent variables, and these are 0 or 1", "kl");
    if (options.unroll > 0) encoder_.with(frozen());
  }

  Loss operator()(const Batch& batch, Rng& rng) const override {
    const Noisy noisy = corrupted(batch, rng);
    const std::int64_t l = options_.particles;
    const std::unique_ptr<Posterior> q = unrolled(batch, rng.stream("unroll"));
    const Tensor h = q->sample(noisy.v.detach(), l, rng).flatten(0, 1).unsqueeze(0);
    const Tensor v = repeated(noisy.v.detach(), l).requires_grad_(true);
    // Without unrolling q is a constant, whose share of the gradient needs no graph of its own unless it is differentiated in v.
    const Tensor energy = joint_.joint(v, h), log_q = q->log_prob(v, h);
    Tensor score;
    if (options_.unroll == 0 && !differentiates_score_in_v())
      score = -gradient(energy, v, true) - (log_q.requires_grad() ? gradient(log_q, v, false) : torch::zeros_like(v));
    else
      score = -gradient(energy + log_q, v, true);
    return plain_loss(loss(score, v, noisy, rng));
  }

 protected:
  std::int64_t particles() const { return options_.particles; }

 private:
  BilevelOptions options_;
  const LatentEnergy& joint_;
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
      const Tensor misfit = divergence(*q, noisy.v.detach(), noisy.level, rng);
      phi = adam_step(adam, phi, torch::autograd::grad({misfit}, phi, {}, true, true));
      for (std::size_t i = 0; i < phi.size(); ++i) named[i].second = phi[i];
      q = encoder_.with(named);
    }
    return q;
  }

  Tensor divergence(const Posterior& q, const Tensor& v, const Tensor& level, Rng& rng) const {
    const Tensor h = q.sample(v, 1, rng);
    if (!h.requires_grad())
      throw RequestError("encoder.draw", "these draws carry no gradient to fit the encoder by", "draw = \"relaxed\"");
    Tensor each = joint_.joint(v, h) + q.log_prob(v, h);
    if (options_.divergence == "fisher") each = 0.5 * gradient(each, h, true).square().sum(-1);
    return (level.defined() ? each / level : each).mean();
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
    return {batch.x + sigma_ * noise, noise / -sigma_, {}};
  }
  Tensor loss(const Tensor& score, const Tensor&, const Noisy& noisy, Rng&) const override {
    return 0.5 * sum_event((score - repeated(noisy.target, particles())).square()).mean();
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
    return {batch.x + noise, noise / (-options_.sigma * options_.sigma), level};
  }
  Tensor loss(const Tensor& score, const Tensor&, const Noisy& noisy, Rng&) const override {
    const Tensor away = sum_event((score - repeated(noisy.target, particles())).square());
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
