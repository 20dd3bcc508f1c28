// p(v, h) ∝ exp(-joint(v, h)).
#pragma once

#include <gibbsite/calculus/jet.h>
#include <gibbsite/model/decoder.h>
#include <gibbsite/model/latent_prior.h>

#include <functional>
#include <memory>
#include <optional>

namespace gibbsite {

class LatentEnergy {
 public:
  virtual ~LatentEnergy() = default;
  /// v [B, *event], h [L, B, K] -> [L, B]; the L particles share the work on v. Twice differentiable in v.
  virtual Tensor joint(const Tensor& v, const Tensor& h) const = 0;
  /// Exact Taylor mode in v where the model supports it: a jet whose slices are [L, B].
  virtual std::optional<Jet> joint(const Jet& v, const Tensor& h) const;
  /// joint(v, ·): [L, B, K] -> [L, B], for many h at the same v, whose work is done once, here.
  virtual std::function<Tensor(const Tensor& h)> given(const Tensor& v) const;
  /// Whether h lies in {0, 1}^K, so that chains along gradients in h make no sense.
  virtual bool discrete() const { return false; }
};

/// A latent energy with parameters of its own.
class LatentModel : public LatentEnergy {
 public:
  /// For the optimiser and checkpoints only.
  virtual torch::nn::Module& module() = 0;
  /// Shape of one v.
  virtual Shape event() const = 0;
  /// K.
  virtual std::int64_t latent_size() const = 0;
};

using MakeLatentModel = std::function<std::unique_ptr<LatentModel>(const Config& options, const ModelContext& context)>;
const Table<MakeLatentModel>& latent_model_table();

/// -log p(v | h) - log p(h): normalised over v and h together. Both must outlive it.
std::unique_ptr<LatentEnergy> make_decoder_energy(const Decoder& decoder, const LatentPrior& prior);

}  // namespace gibbsite
