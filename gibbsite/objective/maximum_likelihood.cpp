#include <gibbsite/core/error.h>
#include <gibbsite/model/normalised_energy.h>
#include <gibbsite/objective/maximum_likelihood.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

class MaximumLikelihood : public Objective {
 public:
  explicit MaximumLikelihood(const NormalisedEnergy& energy) : energy_(energy) {}
  Loss operator()(const Batch& batch, Rng&) const override {
    const Tensor loss = energy_.energy(batch.x).mean();
    return {loss, {{"loss", loss.detach()}}};
  }

 private:
  const NormalisedEnergy& energy_;
};

}  // namespace

std::unique_ptr<Objective> make_maximum_likelihood(const MaximumLikelihoodOptions&, const ObjectiveParts& parts) {
  const auto* energy = dynamic_cast<const NormalisedEnergy*>(parts.energy);
  if (!energy)
    throw RequestError("objective", "mle needs a model with an exact log density", "model.name = \"nice\" has one");
  return std::make_unique<MaximumLikelihood>(*energy);
}

}  // namespace gibbsite
