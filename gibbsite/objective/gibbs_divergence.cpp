#include <gibbsite/core/error.h>
#include <gibbsite/model/grbm.h>
#include <gibbsite/objective/gibbs_divergence.h>
#include <gibbsite/objective/support.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

class GibbsDivergence : public Objective {
 public:
  GibbsDivergence(const GibbsDivergenceOptions& options, const Grbm& machine) : options_(options), machine_(machine) {}

  Loss operator()(const Batch& batch, Rng& rng) const override {
    const bool go_on = options_.persistent && chains_.defined();
    Tensor h = go_on ? shard_rows(batch, chains_).to(batch.x.device(), batch.x.scalar_type())
                     : machine_.sample_latent(batch.x, rng);
    Tensor v = machine_.sample_visible(h, rng);
    for (std::int64_t step = 1; step < options_.steps; ++step)
      v = machine_.sample_visible(machine_.sample_latent(v, rng), rng);
    if (options_.persistent) chains_ = whole_rows(batch, machine_.sample_latent(v, rng));
    const Tensor gap = machine_.energy(batch.x).mean() - machine_.energy(v).mean();
    return plain_loss(gap, {{"energy_gap", gap.detach()}});
  }

  NamedTensors state() const override { return chains_.defined() ? NamedTensors{{"chains", chains_}} : NamedTensors{}; }
  void restore(const NamedTensors& state) override {
    chains_ = state.empty() ? Tensor() : state.front().second.clone();
  }

 private:
  GibbsDivergenceOptions options_;
  const Grbm& machine_;
  mutable Tensor chains_;  // [M, K], undefined before the first batch
};

}  // namespace

std::unique_ptr<Objective> make_gibbs_divergence(const GibbsDivergenceOptions& options, const ObjectiveParts& parts) {
  const auto* machine = dynamic_cast<const Grbm*>(&require_energy(parts, "cd"));
  if (!machine)
    throw RequestError("objective", "cd needs a Gaussian-Bernoulli machine, whose conditionals are known",
                       "model.name = \"grbm\", or objective.name = \"pcd\"");
  return std::make_unique<GibbsDivergence>(options, *machine);
}

}  // namespace gibbsite
