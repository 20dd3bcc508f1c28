#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/model/affine_latent.h>
#include <gibbsite/posterior/variational_score.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <utility>

namespace gibbsite {
namespace {

// Σ_ib weight_ib ∇_v y_ib, with y [L, B] made from v row by row.
Tensor weighted_gradient(const Tensor& y, const Tensor& v, const Tensor& weight, bool create_graph) {
  return torch::autograd::grad({y}, {v}, {weight}, true, create_graph)[0];
}

// z·∇_v y_ib for every particle, [L, B], detached: the gradient that is linear in the weights, differentiated in them.
Tensor slopes(const Tensor& y, const Tensor& v, const Tensor& z) {
  const Tensor weight = torch::ones_like(y.detach()).requires_grad_(true);
  return torch::autograd::grad({weighted_gradient(y, v, weight, true)}, {weight}, {z}, true)[0].detach();
}

class VariationalScore : public Score {
 public:
  VariationalScore(const VariationalScoreOptions& options, const LatentEnergy& joint, const Posterior& posterior)
      : options_(options),
        joint_(joint),
        affine_(dynamic_cast<const AffineLatentModel*>(&joint)),
        posterior_(posterior) {}
  using Score::at;
  ScoreEval at(const Tensor& x, Rng& rng) const override {
    const std::int64_t l = options_.particles, last = options_.share ? 1 : 2;
    Tensor h;
    {
      const torch::NoGradGuard no_grad;
      h = posterior_.sample(x.detach(), (1 + last) * l, rng);
    }
    if (affine_) {
      const torch::NoGradGuard no_grad;
      return {affine_->conditional_score(x, h.narrow(0, 0, l).mean(0)),
              [joint = affine_, v = x.detach(), h, l, last](const Tensor& z) {
                const Tensor covaried = sample_covariance(h.narrow(0, last * l, l), joint->coupled(v, z.detach()));
                return joint->pullback(v, z, h.narrow(0, l, l).mean(0), covaried);
              }};
    }
    const at::AutoGradMode enabled(true);
    const Tensor v = x.detach().requires_grad_(true);
    const Tensor log_p = -joint_.joint(v, h);
    const Tensor each = torch::full({l, x.size(0)}, 1 / static_cast<double>(l), x.options().requires_grad(false));
    const Tensor value = weighted_gradient(log_p.narrow(0, 0, l), v, each, false).detach();
    return {value, [=](const Tensor& z) {
              const Tensor frozen = z.detach();
              const Tensor expectation = weighted_gradient(log_p.narrow(0, l, l), v, each, true);
              const Tensor of_covariance = log_p.narrow(0, last * l, l), a = slopes(of_covariance, v, frozen);
              const Tensor weight = (a - a.mean(0, true)) / static_cast<double>(l - 1);
              return (expectation * frozen).sum() + (of_covariance * weight).sum();
            }};
  }

 private:
  VariationalScoreOptions options_;
  const LatentEnergy& joint_;
  const AffineLatentModel* affine_;  // the joint energy, or null
  const Posterior& posterior_;
};

}  // namespace

std::unique_ptr<Score> make_variational_score(const VariationalScoreOptions& options, const LatentEnergy& joint,
                                              const Posterior& posterior) {
  if (options.particles < 2)
    throw RequestError("score.particles", fmt::format("the covariance of {} draw has no estimate", options.particles),
                       "two or more are needed");
  return std::make_unique<VariationalScore>(options, joint, posterior);
}

Tensor variational_score(const LatentEnergy& joint, const Tensor& v, const Tensor& h) {
  const at::AutoGradMode enabled(true);
  const Tensor point = v.detach().requires_grad_(true);
  const Tensor mean = -joint.joint(point, h.detach()).mean(0);
  return torch::autograd::grad({mean.sum()}, {point})[0];
}

}  // namespace gibbsite
