// Auto-encoders whose codes have no density formula (finite-difference score matching, Table 6; protocol sheet 5.9). With
// h_1 … h_L ~ q(h | v) and s the score of q, frozen, the surrogate
//
//   reconstruction(v, h_1) + λ mean_l [ -log p(h_l) + s(h_l) · h_l ]
//
// averaged over the batch has the gradient of the negative evidence lower bound of a variational auto-encoder (λ = 1, s of
// q(h | v), reconstruction -log p(v | h)), or that of the Wasserstein auto-encoder's penalty KL(q(h) ‖ p(h)) with s of the
// aggregate q(h).
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/objective/objective.h>

namespace gibbsite {

struct AutoencoderOptions {
  std::string reconstruction = "log_likelihood";
  double regularisation = 1;
  std::int64_t particles = 1;
  bool aggregate = false;
  void declare(OptionVisitor& o) {
    o.option("reconstruction", reconstruction, "-log p(v | h), or ‖v - E[v | h]‖²",
             {"log_likelihood", "squared_error"});
    o.option("regularisation", regularisation, "λ, weight of the divergence from the prior", non_negative());
    o.option("particles", particles, "codes L per example", at_least(1));
    o.option("aggregate", aggregate,
             "kernel estimators take the codes of the whole batch as samples of one law, not those of each example");
  }
};

/// Needs encoder, decoder and prior, and a score network of codes or else a kernel estimator. Trains encoder and decoder;
/// reports "loss" (the surrogate, whose value means nothing beyond its parts), "reconstruction" and "prior".
std::unique_ptr<Objective> make_autoencoder(const AutoencoderOptions& options, const ObjectiveParts& parts);

}  // namespace gibbsite
