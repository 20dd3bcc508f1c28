#include <gibbsite/core/error.h>
#include <gibbsite/objective/contrastive_divergence.h>
#include <gibbsite/objective/information.h>
#include <gibbsite/objective/support.h>
#include <gibbsite/sampler/chain.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

class ContrastiveDivergence : public Objective {
 public:
  ContrastiveDivergence(const ContrastiveDivergenceOptions& options, const ObjectiveParts& parts,
                        std::shared_ptr<const Kernel> kernel)
      : options_(options),
        energy_(*parts.energy),
        conjugate_(dynamic_cast<const ConjugateEnergy*>(parts.energy)),
        kernel_(std::move(kernel)),
        buffer_(std::make_unique<ReplayBuffer>(options, fresh_starts(options, parts), parts.rng.stream("replay"),
                                               parts.data_example)) {}

  Loss operator()(const Batch& batch, Rng& rng) const override {
    Tensor positive = batch.x;
    if (options_.noise > 0) positive = positive + options_.noise * rng.normal(positive.sizes(), positive);
    // Every shard of a batch keeps the whole buffer, so that which states are drawn does not depend on their number.
    const ReplayDraw start = buffer_->draw(whole_size(batch), rng.at_row(0));
    const Tensor negative = iterate(*kernel_, target_of(energy_), shard_rows(batch, start.x), options_.steps, rng).x;
    buffer_->write(start, whole_rows(batch, negative));
    const Tensor both = energy_.energy(torch::cat({positive, negative}));
    const Tensor data_energy = both.narrow(0, 0, positive.size(0)),
                 model_energy = both.narrow(0, positive.size(0), negative.size(0));
    const Tensor gap = data_energy.mean() - model_energy.mean();
    Tensor loss = gap;
    if (options_.magnitude > 0)
      loss = loss + options_.magnitude * (data_energy.square().mean() + model_energy.square().mean());
    NamedTensors log = {{"energy_gap", gap.detach()}, {"data_energy", data_energy.detach().mean()}};
    if (options_.information > 0) {
      const Tensor information = information_bound(*conjugate_, batch.x);
      loss = loss - options_.information * information;
      log.emplace_back("information", information.detach());
    }
    return plain_loss(loss, std::move(log));
  }

  bool mixes_rows() const override { return options_.information > 0 || kernel_->interacts(); }
  NamedTensors state() const override { return buffer_->state(); }
  void restore(const NamedTensors& state) override { buffer_->restore(state); }

 private:
  ContrastiveDivergenceOptions options_;
  const Energy& energy_;
  const ConjugateEnergy* conjugate_;
  std::shared_ptr<const Kernel> kernel_;
  std::unique_ptr<ReplayBuffer> buffer_;

  static FreshStarts fresh_starts(const ContrastiveDivergenceOptions& options, const ObjectiveParts& parts) {
    if (options.start == "vae") return parts.starts;
    const Tensor& example = parts.data_example;
    return [normal = options.start == "normal", scale = options.start_scale, example](std::int64_t rows, Rng& rng) {
      Shape sizes = example.sizes().vec();
      sizes[0] = rows;
      return normal ? rng.normal(sizes, example) * scale : (rng.uniform(sizes, example) * 2 - 1) * scale;
    };
  }
};

}  // namespace

std::unique_ptr<Objective> make_contrastive_divergence(const ContrastiveDivergenceOptions& options,
                                                       const ObjectiveParts& parts) {
  if (!parts.energy) throw RequestError("objective", "pcd needs an energy model");
  if (options.information > 0 && !dynamic_cast<const ConjugateEnergy*>(parts.energy))
    throw RequestError("objective.information", "needs a conjugate energy", "model.name = \"conjugate\"");
  std::shared_ptr<const Kernel> kernel = parts.kernel ? parts.kernel() : nullptr;
  if (!kernel) throw RequestError("objective", "pcd needs a sampler for its negatives", "add a [sampler] table");
  refuse_replicas(*kernel, "pcd");
  if (options.start == "vae" && !parts.starts)
    throw RequestError("objective.start", "there is no auto-encoder to start from",
                       "a table [vae] with role = \"start\"");
  if (!parts.data_example.defined()) throw RequestError("objective", "pcd needs data");
  return std::make_unique<ContrastiveDivergence>(options, parts, std::move(kernel));
}

}  // namespace gibbsite
