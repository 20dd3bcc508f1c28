// What experiments with auto-encoders of images share: likelihoods of test images by annealed importance sampling, pictures of
// decoded draws of the prior.
#pragma once

#include <gibbsite/metric/latent_ais.h>
#include <gibbsite/recipe/build.h>
#include <gibbsite/report/html.h>
#include <gibbsite/report/rows.h>

#include <string>
#include <vector>

namespace gibbsite {

/// Keys `evaluation.…` of an experiment.
struct LikelihoodOptions : LatentAisOptions {
  std::int64_t images = 10000;
  void declare(OptionVisitor& o) {
    o.option("images", images, "test images, the first", at_least(2));
    LatentAisOptions::declare(o);
  }
};

struct MeasuredLikelihood {
  std::vector<Row>
      rows;             ///< nll (nats, standard error over images) and ess (chains), with images, chains, temperatures
  std::string summary;  ///< for a person
  Tensor log_likelihood;  ///< [N] float64, of every image
};

/// Of the first test images under a trained auto-encoder with frozen parameters.
MeasuredLikelihood measure_likelihood(const Parts& model, const std::string& method, const std::string& dataset,
                                      const LikelihoodOptions& options, const Ports& ports);

/// A grid of 64 means of v given codes of the prior, written to `file`.
Picture decoded_picture(const Parts& model, const std::string& file, const std::string& method, const Ports& ports);

}  // namespace gibbsite
