#include <gibbsite/objective/support.h>
#include <gibbsite/objective/variational_noise_contrastive.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

class VariationalNoiseContrastive : public Objective {
 public:
  VariationalNoiseContrastive(const VariationalNoiseContrastiveOptions& options, const LatentParts& latent)
      : ratio_(options.ratio),
        particles_(options.particles),
        law_(make_noise_law(options, options.sigma)),
        joint_(*latent.joint),
        encoder_(*latent.encoder),
        contrast_(options) {}

  Loss operator()(const Batch& batch, Rng& rng) const override {
    const Tensor& x = batch.x;
    const Tensor of_data = odds(x, 1, rng);
    std::vector<Tensor> noise;
    for (std::int64_t k = 0; k < ratio_; ++k) noise.push_back(odds(law_->sample(x.sizes(), x, rng), particles_, rng));
    return contrast_.loss(of_data, at::cat(noise));
  }
  bool mixes_rows() const override { return contrast_.mixes_rows(); }
  NamedTensors state() const override { return contrast_.state(); }
  void restore(const NamedTensors& state) override { contrast_.restore(state); }

 private:
  std::int64_t ratio_, particles_;
  std::unique_ptr<const NoiseLaw> law_;
  const LatentEnergy& joint_;
  const Posterior& encoder_;
  LogisticContrast contrast_;

  // G without its constant, [B].
  Tensor odds(const Tensor& v, std::int64_t particles, Rng& rng) const {
    DrawWithLogProb drawn;
    {
      const torch::NoGradGuard no_grad;
      drawn = encoder_.sample_with_log_prob(v, particles, rng);
    }
    const Tensor log_mean =
        (-joint_.joint(v, drawn.h) - drawn.log_prob).logsumexp(0) - std::log(static_cast<double>(particles));
    return log_mean - law_->log_density(v) - std::log(static_cast<double>(ratio_));
  }
};

}  // namespace

std::unique_ptr<Objective> make_variational_noise_contrastive(const VariationalNoiseContrastiveOptions& options,
                                                              const ObjectiveParts& parts) {
  return std::make_unique<VariationalNoiseContrastive>(options, require_latent(parts, "vnce"));
}

}  // namespace gibbsite
