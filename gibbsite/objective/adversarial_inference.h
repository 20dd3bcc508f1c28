// Adversarially learned inference (BiGAN: Donahue et al. 2017, Dumoulin et al. 2017): a critic D(v, h) = sigmoid(-E(h | v)) tells
// pairs of an example and its code from pairs of a decoded draw of the prior and that draw, and encoder and decoder make the
// two laws alike. At its best the encoder inverts the decoder.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/objective/objective.h>

namespace gibbsite {

struct AdversarialInferenceOptions {
  double noise = 0;
  void declare(OptionVisitor& o) {
    o.option("noise", noise, "deviation of Gaussian noise on both images the critic sees, falling to none by the end",
             non_negative());
  }
};

/// Trains encoder and decoder: -mean log D(G(h), h) - mean log(1 - D(v, h(v))), h of the prior. Needs encoder, decoder, prior
/// and a critic, a score network of codes given v that has an energy.
std::unique_ptr<Objective> make_adversarial_inference(const AdversarialInferenceOptions& options,
                                                      const ObjectiveParts& parts);

/// Trains the critic: -mean log D(v, h(v)) - mean log(1 - D(G(h), h)), both pairs without graph. The same parts.
std::unique_ptr<Objective> make_inference_critic(const AdversarialInferenceOptions& options,
                                                 const ObjectiveParts& parts);

}  // namespace gibbsite
