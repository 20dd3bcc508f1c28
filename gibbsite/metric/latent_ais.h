// log p(v) of a latent-variable model by annealed importance sampling in h from the prior, along p(h) p(v | h)^β (Wu et al.
// 2017). Chains give log means of unbiased weights, so in expectation a lower bound of log p(v), and its negative an upper
// bound of the negative log-likelihood. Where the prior lives on a manifold so do the chains (geodesic Hamiltonian Monte Carlo).
#pragma once

#include <gibbsite/metric/ais.h>
#include <gibbsite/model/latent_energy.h>

namespace gibbsite {

/// The published evaluation of finite-difference score matching: 16 chains, 1000 temperatures of which 0 is one, 9 leapfrog
/// steps (10 gradients).
struct LatentAisOptions : AisOptions {
  std::int64_t chains = 16;
  std::int64_t rows = 32;
  LatentAisOptions() {
    temperatures = 999;
    leapfrog_steps = 9;
  }
  void declare(OptionVisitor& o) {
    o.option("chains", chains, "chains per data point", at_least(1));
    o.option("rows", rows, "data points whose chains run side by side and share one adapted step size", at_least(1));
    AisOptions::declare(o);
  }
};

struct LatentAisResult {
  Tensor log_likelihood;  ///< [N] float64, log mean weight over the chains of each point
  Tensor effective;       ///< [N] float64, effective sample size of the chains
  double acceptance = 0;  ///< mean over everything
  double step_size = 0;   ///< the last, mean over blocks
};

/// v: [N, *event]; `joint` is normalised and `prior` its law of h. Parameters should not require gradients. Block k of `rows`
/// points starts from the options' step size; its chains draw from the rows that follow those of earlier blocks.
LatentAisResult latent_annealed_importance(const LatentEnergy& joint, const LatentPrior& prior, const Tensor& v,
                                           const LatentAisOptions& options, const Rng& rng, const Ports& ports = {});

}  // namespace gibbsite
