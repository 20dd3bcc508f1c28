#include <gibbsite/core/error.h>
#include <gibbsite/objective/fisher_critic.h>
#include <gibbsite/objective/support.h>
#include <gibbsite/posterior/variational_score.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

class FisherCritic : public Objective {
 public:
  FisherCritic(const FisherCriticOptions& options, const ObjectiveParts& parts)
      : options_(options), critic_(*parts.score), latent_(parts.latent) {
    if (parts.energy) exact_ = make_energy_score(*parts.energy);
  }
  Loss operator()(const Batch& batch, Rng& rng) const override {
    const Tensor& v = batch.x;
    const Tensor score = exact_ ? exact_->at(v, rng).value : by_draws(v, rng);
    std::vector<Tensor> directions;
    for (std::int64_t p = 0; p < options_.projections; ++p) directions.push_back(options_.draw(v, rng));
    const CriticTerms terms = critic_terms(critic_, v, score, at::stack(directions));
    const Tensor loss = (0.5 * terms.square - terms.linear).mean();
    return plain_loss(loss, {{"divergence", -loss.detach()}});
  }
  bool differentiates_score() const override { return true; }

 private:
  FisherCriticOptions options_;
  const ScoreNetwork& critic_;
  LatentParts latent_;
  std::unique_ptr<Score> exact_;

  Tensor by_draws(const Tensor& v, Rng& rng) const {
    Tensor h;
    {
      const torch::NoGradGuard no_grad;
      h = latent_.encoder->sample(v, options_.particles, rng);
    }
    return variational_score(*latent_.joint, v, h);
  }
};

}  // namespace

CriticTerms critic_terms(const ScoreNetwork& critic, const Tensor& v, const Tensor& score, const Tensor& directions) {
  Rng unused(0, "critic");
  CriticTerms terms;
  Tensor value, divergence;
  for (std::int64_t p = 0; p < directions.size(0); ++p) {
    const Tensor direction = directions[p];
    const Jet f = *critic.at(seed_jet(v, direction, 1), unused);
    if (!value.defined()) value = f.slice(0);
    const Tensor one = sum_event(f.slice(1) * direction);
    divergence = divergence.defined() ? divergence + one : one;
  }
  terms.linear = sum_event(score * value) + divergence / static_cast<double>(directions.size(0));
  terms.square = sum_event(value.square());
  return terms;
}

std::unique_ptr<Objective> make_fisher_critic(const FisherCriticOptions& options, const ObjectiveParts& parts) {
  if (!parts.score) throw RequestError("objective", "fisher_critic needs a score network, its critic");
  if (!parts.energy && !(parts.latent.joint && parts.latent.encoder))
    throw RequestError("objective", "fisher_critic needs an energy, or a latent-variable energy and an encoder");
  if (!parts.score->has_jet()) throw RequestError("objective", "fisher_critic needs a critic with a jet form");
  return std::make_unique<FisherCritic>(options, parts);
}

}  // namespace gibbsite
