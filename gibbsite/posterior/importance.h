// log p(v) of a latent-variable model by importance sampling from q(h | v) (finite-difference score matching, Eqs. 50 and 51):
//
//   IWAE_k(v) = log (1/k) Σ_{j <= k} p(v, h_j) / q(h_j | v)                      a lower bound in expectation (Burda et al. 2016)
//   SUMO(v)   = IWAE_1(v) + Σ_{k <= K} (IWAE_{k+1}(v) - IWAE_k(v)) / P(K >= k)   unbiased, K random (Luo et al. 2020)
//
// P(K >= k) = 1/k below the knee a and decay^(k - a)/a from there on, so that five terms are taken on average. A term varies
// like 1/k² times the weights, which falls more slowly than the tail past the knee: with a q far from the true posterior,
// rare deep draws carry the variance, and a standard error from few draws is too small. Everything is differentiable in
// the parameters of both parts and in v.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/core/random.h>
#include <gibbsite/model/latent_energy.h>
#include <gibbsite/posterior/posterior.h>

namespace gibbsite {

struct SumoOptions {
  std::int64_t knee = 80;
  double decay = 0.9;
  void declare(OptionVisitor& o) {
    o.option("knee", knee, "a: P(K >= k) is 1/k below it", at_least(1));
    o.option("decay", decay, "ratio of P(K >= k + 1) and P(K >= k) from the knee on", Range{0, 1, true, true});
  }
  /// P(K >= k).
  double tail(std::int64_t k) const;
};

/// log p(v, h_j) - log q(h_j | v) for `draws` independent h_j: [draws, B]. `joint` is normalised.
Tensor importance_log_weights(const LatentEnergy& joint, const Posterior& posterior, const Tensor& v,
                              std::int64_t draws, Rng& rng);

/// IWAE_1 … IWAE_n from log weights [n, B]: [n, B].
Tensor iwae_bounds(const Tensor& log_weights);

/// K of every row, [rows] int64.
Tensor draw_terms(const SumoOptions& options, std::int64_t rows, Rng& rng);

/// SUMO(v), [B]. K comes from rng.stream("terms"), h from rng.stream("draws"), each at the row of the example: from two
/// copies of a generator come the same K and the same noise of the posterior.
Tensor sumo(const LatentEnergy& joint, const Posterior& posterior, const Tensor& v, const SumoOptions& options,
            const Rng& rng);

}  // namespace gibbsite
