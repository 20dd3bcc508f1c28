#include <gibbsite/core/error.h>
#include <gibbsite/posterior/importance_score.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

class ImportanceScore : public Score {
 public:
  ImportanceScore(std::int64_t particles, const LatentModel& model) : particles_(particles), model_(model) {}
  using Score::at;
  ScoreEval at(const Tensor& x, Rng& rng) const override {
    const at::AutoGradMode enabled(true);
    const Tensor v = x.detach().requires_grad_(true);
    const Tensor coins = rng.uniform_particles({particles_, v.size(0), model_.latent_size()}, v);
    const Tensor h = coins.le(0.5).to(v.scalar_type());
    // Constants of the estimate are left out.
    const Tensor log_p = (-model_.joint(v, h)).logsumexp(0);
    const Tensor score = torch::autograd::grad({log_p.sum()}, {v}, {}, true, true)[0];
    return {score.detach(), [score](const Tensor& z) { return (score * z.detach()).sum(); }};
  }

 private:
  std::int64_t particles_;
  const LatentModel& model_;
};

}  // namespace

std::unique_ptr<Score> make_importance_score(std::int64_t particles, const LatentModel& model) {
  if (!model.discrete())
    throw RequestError("objective", "importance sampling from fair coins needs latent variables that are 0 or 1");
  if (particles < 1) throw RequestError("objective.particles", "one or more are needed");
  return std::make_unique<ImportanceScore>(particles, model);
}

}  // namespace gibbsite
