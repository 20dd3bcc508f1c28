#include <gibbsite/objective/noise_contrastive.h>
#include <gibbsite/objective/support.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

class NoiseContrastive : public Objective {
 public:
  NoiseContrastive(const NoiseContrastiveOptions& options, const Energy& energy)
      : ratio_(options.ratio), law_(make_noise_law(options, options.sigma)), energy_(energy), contrast_(options) {}

  Loss operator()(const Batch& batch, Rng& rng) const override {
    const Tensor& x = batch.x;
    const EnergyFn energy = energy_.fitted(x);
    const Tensor of_data = odds(energy, x);
    std::vector<Tensor> noise;
    for (std::int64_t k = 0; k < ratio_; ++k) noise.push_back(odds(energy, law_->sample(x.sizes(), x, rng)));
    return contrast_.loss(of_data, at::cat(noise));
  }
  bool mixes_rows() const override { return contrast_.mixes_rows(); }
  NamedTensors state() const override { return contrast_.state(); }
  void restore(const NamedTensors& state) override { contrast_.restore(state); }

 private:
  std::int64_t ratio_;
  std::unique_ptr<const NoiseLaw> law_;
  const Energy& energy_;
  LogisticContrast contrast_;

  /// G without its constant, [B].
  Tensor odds(const EnergyFn& energy, const Tensor& x) const {
    return -energy(x) - law_->log_density(x) - std::log(static_cast<double>(ratio_));
  }
};

}  // namespace

std::unique_ptr<Objective> make_noise_contrastive(const NoiseContrastiveOptions& options, const ObjectiveParts& parts) {
  if (options.contrast == "shift") return make_one_sided(options, DropFunction::kLogistic, parts, "nce");
  return std::make_unique<NoiseContrastive>(options, require_energy(parts, "nce"));
}

}  // namespace gibbsite
