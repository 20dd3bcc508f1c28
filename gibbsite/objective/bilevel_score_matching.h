// Bilevel score matching of latent-variable energies (Bao et al. 2020; protocol sheet of VaGES, 8): with h_i of an encoder q
//
//   s_i = ∇_v [-E(v, h_i) - log q(h_i | v)]
//
// is the score of the marginal, for every h_i alike, where q is the posterior. It takes the place of the score in
//
//   bidsm   ½ ‖s_i - t‖²                        at noisy v, t the score of the noise
//   bimdsm  factor/σ_b² ‖s_i + n_b/σ₀²‖²        levels spaced over the batch
//   bissm   ½ ‖s_i‖² + uᵀ∇s_i u                 at the data
//
// averaged over i, the squares first. The draws depend on v as numbers only, log q as a function. The encoder's own updates
// are a phase of their own (posterior_kl or posterior_fisher); from where they stopped, N = `unroll` more updates of a copy
// are made here, each on new noise, and the gradient goes through them: φ_N depends on θ. The copy is then dropped.
#pragma once

#include <gibbsite/objective/noise_grid.h>
#include <gibbsite/objective/objective.h>
#include <gibbsite/objective/projection.h>

#include <string>

namespace gibbsite {

struct BilevelOptions {
  std::int64_t particles = 1;
  std::int64_t unroll = 0;
  std::string divergence = "kl";
  void declare(OptionVisitor& o) {
    o.option("particles", particles, "draws of the latent variables per example", at_least(1));
    o.option("unroll", unroll, "N, updates of a copy of the encoder that the gradient goes through", at_least(0));
    o.only_if(unroll > 0)
        .option(
            "divergence", divergence,
            "what those updates minimise: that of posterior_kl, or of posterior_fisher for continuous latent variables",
            {"kl", "fisher"});
  }
};

struct BilevelDenoisingOptions : BilevelOptions {
  double sigma = 0.3;
  void declare(OptionVisitor& o) {
    o.option("sigma", sigma, "deviation of the Gaussian noise", positive());
    BilevelOptions::declare(o);
  }
};

struct BilevelSlicedOptions : BilevelOptions, ProjectionOptions {
  void declare(OptionVisitor& o) {
    BilevelOptions::declare(o);
    ProjectionOptions::declare(o);
  }
};

struct BilevelMultiscaleOptions : BilevelOptions, NoiseGridOptions {
  double sigma = 0.1;
  double factor = 0.5;
  void declare(OptionVisitor& o) {
    o.option("sigma", sigma, "σ₀, the noise level the model represents", positive());
    NoiseGridOptions::declare(o);
    o.option("factor", factor, "the constant before the loss", positive());
    BilevelOptions::declare(o);
  }
};

/// Need a latent energy and an encoder with a density; train the energy alone. With unroll > 0 the encoder must be a function
/// of its parameters (Posterior::with) and trained by Adam in a phase of its own (Batch::adam): RequestError otherwise.
std::unique_ptr<Objective> make_bilevel_denoising(const BilevelDenoisingOptions& options, const ObjectiveParts& parts);
std::unique_ptr<Objective> make_bilevel_sliced(const BilevelSlicedOptions& options, const ObjectiveParts& parts);
std::unique_ptr<Objective> make_bilevel_multiscale(const BilevelMultiscaleOptions& options,
                                                   const ObjectiveParts& parts);

}  // namespace gibbsite
