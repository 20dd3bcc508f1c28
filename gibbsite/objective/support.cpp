#include <fmt/format.h>
#include <gibbsite/calculus/activation.h>
#include <gibbsite/calculus/known_gradient.h>
#include <gibbsite/core/error.h>
#include <gibbsite/objective/support.h>
#include <torch/types.h>

namespace gibbsite {

const Energy& require_energy(const ObjectiveParts& parts, const char* objective) {
  if (!parts.energy) throw RequestError("objective", fmt::format("{} needs an energy model", objective));
  return *parts.energy;
}

std::shared_ptr<const Score> require_score(const ObjectiveParts& parts, const char* objective) {
  if (parts.score) return {std::shared_ptr<const Score>(), parts.score};
  if (parts.variational_score) return {std::shared_ptr<const Score>(), parts.variational_score};
  if (parts.energy) return make_energy_score(*parts.energy);
  throw RequestError("objective", fmt::format("{} needs an energy model or a score network", objective));
}

const LatentParts& require_latent(const ObjectiveParts& parts, const char* objective) {
  if (!parts.latent.joint || !parts.latent.encoder)
    throw RequestError("objective", fmt::format("{} needs a latent-variable energy and an encoder", objective));
  if (!parts.latent.encoder->has_log_prob())
    throw RequestError("objective", fmt::format("{} needs an encoder with a density", objective),
                       "a Bernoulli or Gaussian one");
  return parts.latent;
}

void require_code_energy(const LatentScore& score, const char* objective) {
  if (!score.has_energy())
    throw RequestError("score.form",
                       fmt::format("{} needs a score of codes that is the gradient of an energy", objective),
                       "score.form = \"inner_product\"");
}

Fit fit(const Energy& energy, const Tensor& x, const FitProblem& problem, const Rng& rng) {
  Rng own = rng.stream("fit");
  return energy.fit(x, problem, own);
}

void require_jet(bool has_jet, const std::string& derivative) {
  if (derivative == "jet" && !has_jet)
    throw RequestError("objective.derivative", "this model has no jet form", "use derivative = \"autograd\"");
}

Loss plain_loss(const Tensor& loss, NamedTensors more) {
  more.insert(more.begin(), {"loss", loss.detach()});
  return {loss, std::move(more)};
}

Loss surrogate_loss(const Tensor& surrogate, const Tensor& value) {
  return {with_gradient_of(surrogate, value), {{"loss", value.detach()}}};
}

Tensor minus_log_sigmoid(const Tensor& logit) { return activate(Activation::kSoftplus, -logit); }

std::int64_t whole_size(const Batch& batch) { return batch.global_size > 0 ? batch.global_size : batch.x.size(0); }

Tensor whole_rows(const Batch& batch, const Tensor& rows) {
  return batch.gather ? batch.gather(rows.detach()) : rows.detach();
}

Tensor shard_rows(const Batch& batch, const Tensor& rows) {
  return batch.gather ? rows.narrow(0, batch.first_row, batch.x.size(0)) : rows;
}

double dimension_weight(const std::string& weight, const Tensor& x) {
  return weight == "per_dimension" ? static_cast<double>(x.size(0)) / static_cast<double>(x.numel()) : 1;
}

}  // namespace gibbsite
