// Fits q(h | v) to the posterior of a latent-variable energy that is left alone (VaGES, Eq. 6; protocol sheet 2.4), from one
// draw h per example that carries the gradient:
//
//   posterior_kl      E(v, h) + log q(h | v)                   KL(q ‖ p(h | v)) up to a constant: minus the evidence bound
//   posterior_fisher  ½ ‖∇_h (E(v, h) + log q(h | v))‖²        for continuous h; the gradient flows through h too
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/objective/objective.h>

namespace gibbsite {

struct PosteriorFitOptions {
  double noise = 0;
  void declare(OptionVisitor& o) {
    o.option("noise", noise, "deviation of Gaussian noise added to the data, that of the objective it serves",
             non_negative());
  }
};

/// Need a latent energy and an encoder with a density; train the encoder. The Fisher divergence throws RequestError for
/// discrete latent variables.
std::unique_ptr<Objective> make_posterior_kl(const PosteriorFitOptions& options, const ObjectiveParts& parts);
std::unique_ptr<Objective> make_posterior_fisher(const PosteriorFitOptions& options, const ObjectiveParts& parts);

}  // namespace gibbsite
