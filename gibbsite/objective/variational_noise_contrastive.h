// Noise-contrastive estimation of latent-variable energies (Rhodes and Gutmann 2019; protocol sheet of VaGES, 8). The log
// odds of noise-contrastive estimation with draws of an encoder in place of the marginal: one h at the data, where the
// log odds are then a bound in expectation, and an importance average over `particles` of them at the noise:
//
//   G(v) = -E(v, h) - log q(h | v) - c - log p_n(v) - log ratio
//   G(y) = log mean_i exp(-E(y, h_i) - log q(h_i | y)) - c - log p_n(y) - log ratio
//
// The encoder is fitted by a phase of posterior_kl at the data.
#pragma once

#include <gibbsite/objective/logistic_contrast.h>
#include <gibbsite/objective/noise_law.h>
#include <gibbsite/objective/objective.h>

namespace gibbsite {

struct VariationalNoiseContrastiveOptions : NoiseLawOptions, ContrastOptions {
  double sigma = 1;
  std::int64_t particles = 5;
  VariationalNoiseContrastiveOptions() { normaliser = "learned"; }
  void declare(OptionVisitor& o) {
    NoiseLawOptions::declare(o);
    o.option("sigma", sigma, "scale of the noise, its standard deviation where it is Gaussian", positive());
    o.option("particles", particles, "draws of the latent variables at every noise point", at_least(1));
    ContrastOptions::declare(o);
  }
};

/// Needs a latent energy and an encoder with a density; trains the energy alone. Logs log_normaliser, c.
std::unique_ptr<Objective> make_variational_noise_contrastive(const VariationalNoiseContrastiveOptions& options,
                                                              const ObjectiveParts& parts);

}  // namespace gibbsite
