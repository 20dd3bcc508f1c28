#include <gibbsite/posterior/conjugate.h>
#include <torch/nn/module.h>

namespace gibbsite {
namespace {

class Conjugate : public Posterior {
 public:
  explicit Conjugate(const ConjugateEnergy& model) : model_(model), none_(NamedTensors{}) {}
  Tensor sample(const Tensor& v, std::int64_t particles, Rng& rng) const override {
    return model_.sample_posterior(v, particles, rng);
  }
  Tensor log_prob(const Tensor& v, const Tensor& h) const override { return model_.log_posterior(v, h); }
  bool has_log_prob() const override { return true; }
  std::optional<PosteriorMoments> moments(const Tensor& v) const override {
    const ConjugateEnergy::Moments q = model_.posterior_moments(v);
    return PosteriorMoments{q.mean, q.variance};
  }
  bool has_divergence() const override { return model_.components() == 1; }
  std::optional<DrawWithDivergence> sample_with_divergence(const Tensor& v, std::int64_t particles,
                                                           Rng& rng) const override {
    if (!has_divergence()) return std::nullopt;
    return DrawWithDivergence{sample(v, particles, rng), model_.divergence_from_bias(v)};
  }
  bool discrete() const override { return model_.discrete(); }
  torch::nn::Module& module() override { return none_.module(); }
  std::int64_t latent_size() const override { return model_.latent_size(); }

 private:
  const ConjugateEnergy& model_;
  Parameters none_;
};

}  // namespace

std::unique_ptr<Posterior> make_exact_posterior(const ConjugateEnergy& model) {
  return std::make_unique<Conjugate>(model);
}

}  // namespace gibbsite
