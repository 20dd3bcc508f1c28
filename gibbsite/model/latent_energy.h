// p(v, h) ∝ exp(-joint(v, h)).
#pragma once

#include <gibbsite/calculus/jet.h>
#include <gibbsite/model/decoder.h>
#include <gibbsite/model/latent_prior.h>

#include <memory>
#include <optional>

namespace gibbsite {

class LatentEnergy {
 public:
  virtual ~LatentEnergy() = default;
  /// v [B, *event], h [L, B, K] -> [L, B]; the L particles share the work on v.
  virtual Tensor joint(const Tensor& v, const Tensor& h) const = 0;
  /// Exact Taylor mode in v where the model supports it.
  virtual std::optional<Jet> joint(const Jet& v, const Tensor& h) const;
};

/// -log p(v | h) - log p(h): normalised over v and h together. Both must outlive it.
std::unique_ptr<LatentEnergy> make_decoder_energy(const Decoder& decoder, const LatentPrior& prior);

}  // namespace gibbsite
