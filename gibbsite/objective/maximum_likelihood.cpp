#include <gibbsite/core/error.h>
#include <gibbsite/model/grbm.h>
#include <gibbsite/model/normalised_energy.h>
#include <gibbsite/objective/maximum_likelihood.h>
#include <gibbsite/objective/support.h>
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

// The normaliser is summed over all states of the latent variables.
class EnumeratedLikelihood : public Objective {
 public:
  explicit EnumeratedLikelihood(const Grbm& machine) : machine_(machine) {}
  Loss operator()(const Batch& batch, Rng&) const override {
    return plain_loss(machine_.energy(batch.x).mean() + machine_.log_z().to(batch.x.scalar_type()));
  }

 private:
  const Grbm& machine_;
};

}  // namespace

std::unique_ptr<Objective> make_maximum_likelihood(const MaximumLikelihoodOptions&, const ObjectiveParts& parts) {
  if (const auto* machine = dynamic_cast<const Grbm*>(parts.energy))
    return std::make_unique<EnumeratedLikelihood>(*machine);
  const auto* energy = dynamic_cast<const NormalisedEnergy*>(parts.energy);
  if (!energy)
    throw RequestError("objective", "mle needs a model with an exact log density",
                       "model.name = \"nice\" and \"grbm\" have one");
  return std::make_unique<MaximumLikelihood>(*energy);
}

}  // namespace gibbsite
