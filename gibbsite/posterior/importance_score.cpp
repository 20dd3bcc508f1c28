#include <gibbsite/core/error.h>
#include <gibbsite/model/affine_latent.h>
#include <gibbsite/posterior/importance_score.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

class ImportanceScore : public Score {
 public:
  ImportanceScore(std::int64_t particles, const LatentModel& model)
      : particles_(particles), model_(model), affine_(dynamic_cast<const AffineLatentModel*>(&model)) {}
  using Score::at;
  ScoreEval at(const Tensor& x, Rng& rng) const override {
    const Tensor coins = rng.uniform_particles({particles_, x.size(0), model_.latent_size()}, x);
    const Tensor h = coins.le(0.5).to(x.scalar_type());
    if (affine_) {
      const torch::NoGradGuard no_grad;
      const Tensor weight = (h * affine_->latent_logits(x)).sum(-1).softmax(0);
      const Tensor mean = (weight.unsqueeze(-1) * h).sum(0);
      return {affine_->conditional_score(x, mean), [model = affine_, v = x.detach(), h, weight, mean](const Tensor& z) {
                const Tensor covaried = weighted_covariance(h, weight, mean, model->coupled(v, z.detach()));
                return model->pullback(v, z, mean, covaried);
              }};
    }
    const at::AutoGradMode enabled(true);
    const Tensor v = x.detach().requires_grad_(true);
    // Constants of the estimate are left out.
    const Tensor log_p = (-model_.joint(v, h)).logsumexp(0);
    const Tensor score = torch::autograd::grad({log_p.sum()}, {v}, {}, true, true)[0];
    return {score.detach(), [score](const Tensor& z) { return (score * z.detach()).sum(); }};
  }

 private:
  std::int64_t particles_;
  const LatentModel& model_;
  const AffineLatentModel* affine_;  // the model, or null
};

}  // namespace

std::unique_ptr<Score> make_importance_score(std::int64_t particles, const LatentModel& model) {
  if (!model.discrete())
    throw RequestError("objective", "importance sampling from fair coins needs latent variables that are 0 or 1");
  if (particles < 1) throw RequestError("objective.particles", "one or more are needed");
  return std::make_unique<ImportanceScore>(particles, model);
}

}  // namespace gibbsite
