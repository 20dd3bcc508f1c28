// Fits q(h | v) to the posterior of a latent-variable energy that is left alone (VaGES, Eq. 6; protocol sheet 2.4), from one
// draw h per example that carries the gradient:
//
//   posterior_kl      E(v, h) + log q(h | v)                   KL(q ‖ p(h | v)) up to a constant: minus the evidence bound
//   posterior_fisher  ½ ‖∇_h (E(v, h) + log q(h | v))‖²        for continuous h; the gradient flows through h too
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/objective/noise_grid.h>
#include <gibbsite/objective/objective.h>

#include <string>

namespace gibbsite {

struct PosteriorFitOptions : NoiseGridOptions {
  double noise = 0;
  std::string levels_of = "one";
  void declare(OptionVisitor& o) {
    o.option(
        "levels", levels_of,
        "Gaussian noise is added to the data as by the objective it serves: of one deviation, or of a grid of them, "
        "when the loss of each example is divided by its own",
        {"one", "grid"});
    o.only_if(levels_of == "one").option("noise", noise, "deviation of the noise", non_negative());
    NoiseGridOptions::declare(o, levels_of == "grid");
  }
};

/// Need a latent energy and an encoder with a density; train the encoder. The Fisher divergence throws RequestError for
/// discrete latent variables.
std::unique_ptr<Objective> make_posterior_kl(const PosteriorFitOptions& options, const ObjectiveParts& parts);
std::unique_ptr<Objective> make_posterior_fisher(const PosteriorFitOptions& options, const ObjectiveParts& parts);

}  // namespace gibbsite
