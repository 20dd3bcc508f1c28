#include <gibbsite/model/affine_latent.h>
#include <gibbsite/model/score.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

class ScoreOfEnergy : public Score {
 public:
  explicit ScoreOfEnergy(const Energy& energy)
      : energy_(energy), latent_(dynamic_cast<const AffineLatentModel*>(&energy)) {}
  using Score::at;
  ScoreEval at(const Tensor& x, Rng&) const override {
    if (latent_ && !x.requires_grad()) {
      const torch::NoGradGuard no_grad;
      const Tensor mean = latent_->posterior_mean(x);
      return {latent_->conditional_score(x, mean), [latent = latent_, x, mean](const Tensor& z) {
                const Tensor t = latent->coupled(x, z);
                return latent->pullback(x, z, mean, latent->posterior_covariance(mean, t));
              }};
    }
    const at::AutoGradMode enabled(true);
    const Tensor point = x.requires_grad() ? x : x.detach().requires_grad_(true);
    const EnergyFn energy = energy_.fitted(point.detach());
    const Tensor gradient = torch::autograd::grad({energy(point).sum()}, {point}, {}, true, true)[0];
    return {-gradient.detach(), [gradient](const Tensor& z) { return -(gradient * z).sum(); }};
  }

 private:
  const Energy& energy_;
  const AffineLatentModel* latent_;  // whose marginal the energy is, or null
};

}  // namespace

std::optional<Jet> Score::at(const Jet&, Rng&) const { return std::nullopt; }

std::unique_ptr<Score> make_energy_score(const Energy& energy) { return std::make_unique<ScoreOfEnergy>(energy); }

}  // namespace gibbsite
