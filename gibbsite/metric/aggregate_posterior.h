// How far the latent variables of a model follow its bias or prior, and how much they say about the data: with the aggregate
// p̂(z) = (1/N) Σ_n p(z | x_n) over N data points, KL(p̂ ‖ p) and the mutual information E[log p(z | x) - log p̂(z)], in nats.
// Batches of B points x_b with draws z_b stand for the data in two ways:
//
//   weighted   p̂(z_b) ≈ p(z_b | x_b)/N + (N - 1)/(N (B - 1)) Σ_{b' ≠ b} p(z_b | x_b')   (Esmaeili et al. 2019): can reach log N
//   plain      p̂(z_b) ≈ (1/B) Σ_{b'} p(z_b | x_b')                                      cannot pass log B
//
// Their information is biased down where it comes near those bounds.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/core/ports.h>
#include <gibbsite/metric/estimate.h>
#include <gibbsite/posterior/posterior.h>

#include <functional>

namespace gibbsite {

struct AggregateOptions {
  std::int64_t batch_size = 1000;
  std::int64_t batches = 20;
  void declare(OptionVisitor& o) {
    o.option("batch_size", batch_size, "data points B of a batch", at_least(2));
    o.option("batches", batches, "batches, of different points as far as they go", at_least(1));
  }
};

/// Standard errors are over batches.
struct AggregatePosterior {
  Estimate divergence;            ///< KL(p̂ ‖ p) by the weighted estimate
  Estimate information;           ///< weighted
  Estimate plain_information;     ///< plain
  Estimate posterior_divergence;  ///< mean KL(p(z | x) ‖ p), at the same draws: divergence + information
};

/// x: [M, *event], of which batches are taken in a random order; `population` N. log_prior: [L, B, K] -> [L, B]. Needs an encoder
/// with a density. Throws RequestError for fewer points than a batch.
AggregatePosterior aggregate_posterior(const Posterior& posterior,
                                       const std::function<Tensor(const Tensor& z)>& log_prior, const Tensor& x,
                                       std::int64_t population, const AggregateOptions& options, const Rng& rng,
                                       const Ports& ports = {});

}  // namespace gibbsite
