// Posteriors whose draws and density are functions of a few numbers, their law, that a network computes from v: the network is
// passed once for both, and the gradient of what fits the posterior by draws that move with it has a formula.
#pragma once

#include <gibbsite/posterior/posterior.h>

namespace gibbsite {

class ReparameterisedPosterior : public Posterior {
 public:
  /// [B, *event] -> [B, N], differentiable in the parameters and in v.
  virtual Tensor law(const Tensor& v) const = 0;
  /// Like Posterior::sample, and log_density like Posterior::log_prob; differentiable in the law.
  virtual Tensor draw(const Tensor& law, std::int64_t particles, Rng& rng) const = 0;
  virtual Tensor log_density(const Tensor& law, const Tensor& h) const = 0;
  /// The gradient of log_density in the law, h frozen: [L, B, N]. Differentiable in what it is made from.
  virtual Tensor density_gradient(const Tensor& law, const Tensor& h) const = 0;
  /// Whether draws move with the law, so that drawn_gradient has a meaning.
  virtual bool draws_move() const { return true; }
  /// The gradient in the law of f(h) + log q(h) for draws h [L, B, K] that move with the law, from slope = ∇f(h) like h:
  /// [L, B, N]. Differentiable in what it is made from.
  virtual Tensor drawn_gradient(const Tensor& law, const Tensor& h, const Tensor& slope) const = 0;

  Tensor sample(const Tensor& v, std::int64_t particles, Rng& rng) const override {
    return draw(law(v), particles, rng);
  }
  Tensor log_prob(const Tensor& v, const Tensor& h) const override { return log_density(law(v), h); }
  bool has_log_prob() const override { return true; }
};

}  // namespace gibbsite
