// Auto-encoders: with h_1 … h_L ~ q(h | v) the loss is
//
//   reconstruction(v, h_1) + λ divergence
//
// averaged over the batch. The divergence from the prior is, as a surrogate whose gradient is the right one,
//
//   score        mean_l [ -log p(h_l) + s(h_l) · h_l ] with s, frozen, the score of q: of q(h | v) for a variational
//                auto-encoder (λ = 1, reconstruction -log p(v | h)), of the aggregate q(h) for the penalty KL(q(h) ‖ p(h)) of a
//                Wasserstein auto-encoder; for codes without a density formula (finite-difference score matching, Table 6;
//                minimum velocity learning, Eqs. 20 and 21)
//   closed_form  KL(q(h | v) ‖ p(h)), of encoders that have one: explicit variational auto-encoders
//   draws        mean_l [ log q(h_l | v) - log p(h_l) ], of encoders with a density: any prior
//   adversarial  -mean log D(h), D the critic that latent_adversarial trains: WAE-GAN (Tolstikhin et al. 2018)
//   mmd          maximum mean discrepancy of the batch's codes from draws of the prior: WAE-MMD
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/objective/objective.h>

namespace gibbsite {

struct AutoencoderOptions {
  std::string reconstruction = "log_likelihood";
  std::string divergence = "score";
  double regularisation = 1;
  double warmup = 0;
  std::int64_t particles = 1;
  bool aggregate = false;
  void declare(OptionVisitor& o) {
    o.option("reconstruction", reconstruction, "-log p(v | h), or ‖v - E[v | h]‖²",
             {"log_likelihood", "squared_error"});
    o.option("divergence", divergence, "how the codes' divergence from the prior is had",
             {"score", "closed_form", "draws", "adversarial", "mmd"});
    o.option("regularisation", regularisation, "λ, weight of the divergence from the prior", non_negative());
    o.option("warmup", warmup,
             "share of the updates over which λ rises to its value, so that codes are learnt before they are held to "
             "the prior",
             between(0, 1));
    o.option("particles", particles, "codes L per example", at_least(1));
    o.only_if(divergence == "score")
        .option("aggregate", aggregate,
                "kernel estimators take the codes of the whole batch as samples of one law, not those of each example");
  }
};

/// Needs encoder, decoder and prior, and for the divergence a score network of codes or else a kernel estimator (score), an
/// encoder with a formula or a density, a critic (the network of [score]), or nothing. Trains encoder and decoder; reports "loss" (whose
/// value means nothing beyond its parts where the divergence is a surrogate), "reconstruction" and "prior" (-log p(h)) or
/// "divergence".
std::unique_ptr<Objective> make_autoencoder(const AutoencoderOptions& options, const ObjectiveParts& parts);

struct AdversarialOptions {
  double magnitude = 0;
  void declare(OptionVisitor& o) {
    o.option("magnitude", magnitude, "γ, weight of 2 mean logit(h)² at codes of the encoder", non_negative());
  }
};

/// Trains the critic of WAE-GAN: logistic loss of telling draws of the prior from codes of the encoder, -mean log D(h_p) -
/// mean log(1 - D(h_q)). The logit of D is minus the energy of the score network of codes; probabilities are kept 1e-7 away
/// from 0 (protocol sheet of minimum velocity learning, 4.5). Needs encoder, prior and such a network.
std::unique_ptr<Objective> make_latent_adversarial(const AdversarialOptions& options, const ObjectiveParts& parts);

}  // namespace gibbsite
