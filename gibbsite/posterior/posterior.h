// q(h | v): laws of a latent variable given what is seen.
#pragma once

#include <gibbsite/core/random.h>
#include <gibbsite/core/registry.h>
#include <gibbsite/core/tensor.h>
#include <gibbsite/model/latent_context.h>

#include <functional>
#include <memory>
#include <optional>
#include <utility>

namespace gibbsite {

struct PosteriorMoments {
  Tensor mean, variance;  ///< [B, K]
};

/// Draws, and the divergence of the law they come from.
struct DrawWithDivergence {
  Tensor h;           ///< [L, B, K]
  Tensor divergence;  ///< [B], KL(q(h | v) ‖ p(h))
};

/// Draws, and how likely each was.
struct DrawWithLogProb {
  Tensor h;         ///< [L, B, K]
  Tensor log_prob;  ///< [L, B], log q(h | v)
};

class Posterior {
 public:
  virtual ~Posterior() = default;
  /// [B, *event] -> [particles, B, K], differentiable in the parameters (and in v) with the noise fixed. Particle l of
  /// example b draws from row b at offset l, so that the first particles are the same however many follow.
  virtual Tensor sample(const Tensor& v, std::int64_t particles, Rng& rng) const = 0;
  /// log q(h | v), normalised: [L, B, K] -> [L, B]. Throws RequestError where it has no formula.
  virtual Tensor log_prob(const Tensor& v, const Tensor& h) const;
  /// sample() and log_prob() of what it draws, from one evaluation of the law where there is one to share.
  virtual DrawWithLogProb sample_with_log_prob(const Tensor& v, std::int64_t particles, Rng& rng) const {
    Tensor h = sample(v, particles, rng);
    Tensor log_q = log_prob(v, h);
    return {std::move(h), std::move(log_q)};
  }
  /// Whether log_prob has one.
  virtual bool has_log_prob() const { return false; }
  /// Mean and variance of every h_j, where they have formulas.
  virtual std::optional<PosteriorMoments> moments(const Tensor& /*v*/) const { return std::nullopt; }
  /// sample() with the divergence from the standard law of its space, N(0, I) or the uniform law of its manifold, where that
  /// has a formula.
  virtual std::optional<DrawWithDivergence> sample_with_divergence(const Tensor& /*v*/, std::int64_t /*particles*/,
                                                                   Rng& /*rng*/) const {
    return std::nullopt;
  }
  /// Whether sample_with_divergence returns a value.
  virtual bool has_divergence() const { return false; }
  /// Whether h lies in {0, 1}^K, so that log_prob is the logarithm of a mass. Samples may be relaxed into the cube.
  virtual bool discrete() const { return false; }
  /// The same law with `parameters`, by the names of module()'s, in place of its own and differentiable in them, so that
  /// updates of its parameters can be differentiated too. Throws RequestError where it has no such form.
  virtual std::unique_ptr<Posterior> with(const NamedTensors& parameters) const;
  /// For the optimiser and checkpoints only.
  virtual torch::nn::Module& module() = 0;
  /// K.
  virtual std::int64_t latent_size() const = 0;
};

/// Mean and variance of q(h | v): by formula, else of `draws` draws.
PosteriorMoments posterior_moments(const Posterior& posterior, const Tensor& v, std::int64_t draws, Rng& rng);

using MakePosterior = std::function<std::unique_ptr<Posterior>(const Config& options, const LatentContext& context)>;
const Table<MakePosterior>& posterior_table();

}  // namespace gibbsite
