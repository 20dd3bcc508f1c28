// Noise-contrastive estimation (Gutmann and Hyvärinen 2010): logistic regression between the data and `ratio` noise points
// each, with log odds G = -E - c - log q - log ratio. The constant c stands for log Z.
//
// With contrast = "shift" the noise is the data moved, q = p(x + v): everything is then known up to the model's own energy,
// c cancels, and 2 (J - 2 log 2) ‖v‖²/ε² tends to sliced score matching (finite-difference score matching, section 7); that
// is what is minimised. Both densities in the odds are the model's and both are differentiated.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/objective/logistic_contrast.h>
#include <gibbsite/objective/noise_law.h>
#include <gibbsite/objective/objective.h>
#include <gibbsite/objective/one_sided.h>

namespace gibbsite {

struct NoiseContrastiveOptions : NoiseLawOptions, ContrastOptions, OneSidedOptions {
  std::string contrast = "law";
  double sigma = 1;
  void declare(OptionVisitor& o) {
    o.option("contrast", contrast, "law: noise from the law below, around 0; shift: the data moved by epsilon",
             {"law", "shift"});
    const bool drawn = contrast == "law";
    NoiseLawOptions::declare(o, drawn);
    o.only_if(drawn).option("sigma", sigma, "scale of the noise, its standard deviation where it is Gaussian",
                            positive());
    ContrastOptions::declare(o, drawn);
    OneSidedOptions::declare(o, contrast == "shift");
  }
};

/// Needs an energy. Logs log_normaliser, the c of the batch.
std::unique_ptr<Objective> make_noise_contrastive(const NoiseContrastiveOptions& options, const ObjectiveParts& parts);

}  // namespace gibbsite
