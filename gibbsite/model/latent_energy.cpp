#include <gibbsite/model/latent_energy.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

class DecoderEnergy : public LatentEnergy {
 public:
  DecoderEnergy(const Decoder& decoder, const LatentPrior& prior) : decoder_(decoder), prior_(prior) {}
  using LatentEnergy::joint;
  Tensor joint(const Tensor& v, const Tensor& h) const override { return prior_.energy(h) - decoder_.log_prob(v, h); }

 private:
  const Decoder& decoder_;
  const LatentPrior& prior_;
};

}  // namespace

std::optional<Jet> LatentEnergy::joint(const Jet&, const Tensor&) const { return std::nullopt; }

std::function<Tensor(const Tensor&)> LatentEnergy::given(const Tensor& v) const {
  return [this, v](const Tensor& h) { return joint(v, h); };
}

std::unique_ptr<LatentEnergy> make_decoder_energy(const Decoder& decoder, const LatentPrior& prior) {
  return std::make_unique<DecoderEnergy>(decoder, prior);
}

}  // namespace gibbsite
