// The score of a latent-variable energy p̃(v, h) = exp(-E(v, h)) by draws h_i of q(h | v), and its gradient (VaGES, Eqs. 7
// to 10; protocol sheet 2.1 and 2.2):
//
//   s(v)  = E_{p(h|v)}[∇_v log p̃]                                        VaES:  mean of g_i = ∇_v log p̃(v, h_i)
//   ∂s/∂θ = E_{p(h|v)}[∂∇_v log p̃/∂θ] + Cov_{p(h|v)}(∇_v log p̃, ∂ log p̃/∂θ)   VaGES: the same by sample moments
//
// Both are exact in expectation where q is the posterior. The score, the expectation and the covariance take three
// independent sets of L draws, so that products of the score and its gradient factorise. All draws are frozen. With z frozen
// the covariance part is the gradient of Σ_i (a_i - mean a)/(L - 1) · log p̃(v, h_i) with a_i = z·g_i frozen too: first-order
// back-propagation, while the expectation part differentiates z·∇_v log p̃ once more.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/model/latent_energy.h>
#include <gibbsite/model/score.h>
#include <gibbsite/posterior/posterior.h>

#include <memory>

namespace gibbsite {

struct VariationalScoreOptions {
  std::int64_t particles = 2;
  bool share = false;
  void declare(OptionVisitor& o) {
    o.option("particles", particles, "L, draws of the latent variables per set", at_least(2));
    o.option("share", share, "the expectation and the covariance take the same draws, as printed; else three sets");
  }
};

/// At x: value is VaES, pullback(z) the surrogate of Σ z·VaGES in the parameters of `joint`. Its own value is not Σ z·score,
/// and it cannot be differentiated in x. Throws RequestError for fewer than two particles, whose covariance has no estimate.
/// Both arguments must outlive it; the posterior's parameters are left alone.
std::unique_ptr<Score> make_variational_score(const VariationalScoreOptions& options, const LatentEnergy& joint,
                                              const Posterior& posterior);

/// VaES at the draws h [L, B, K] of anyone: mean_i ∇_v log p̃(v, h_i), detached, [B, *event]. L = 1 will do.
Tensor variational_score(const LatentEnergy& joint, const Tensor& v, const Tensor& h);

}  // namespace gibbsite
