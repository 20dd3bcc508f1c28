#include <gibbsite/core/error.h>
#include <gibbsite/objective/evidence.h>
#include <gibbsite/objective/support.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {
namespace {

class EvidenceBound : public Objective {
 public:
  EvidenceBound(const EvidenceOptions& options, HierarchicalVae& vae) : options_(options), vae_(vae) {}

  bool mixes_rows() const override { return true; }

  Loss operator()(const Batch& batch, Rng& rng) const override {
    const bool training = vae_.module().is_training();
    const Evidence found = vae_.evidence(batch.x, rng);
    std::vector<Tensor> means;
    means.reserve(found.divergence.size());
    for (const Tensor& divergence : found.divergence) means.push_back(divergence.mean());
    const Tensor divergences = torch::stack(means), reconstruction = -found.log_prob.mean();
    NamedTensors log = {{"reconstruction", reconstruction.detach()}, {"divergence", divergences.sum().detach()}};
    if (!training) return plain_loss(reconstruction + divergences.sum(), std::move(log));

    const double weight =
        options_.warmup > 0 ? std::clamp(batch.progress / options_.warmup, options_.least_weight, 1.0) : 1.0;
    const Tensor balanced = weight < 1 && options_.balance ? divergences * shares(divergences.detach()) : divergences;
    Tensor loss = reconstruction + weight * balanced.sum();
    if (options_.penalty > 0) {
      const double first = options_.first_penalty > 0 ? options_.first_penalty : options_.penalty;
      const double lambda = std::pow(first, 1 - weight) * std::pow(options_.penalty, weight);
      const Tensor penalty = vae_.penalty();
      log.emplace_back("penalty", penalty.detach());
      loss = loss + lambda * penalty;
    }
    return plain_loss(loss, std::move(log));
  }

 private:
  static constexpr double kFloor = 0.01;
  EvidenceOptions options_;
  HierarchicalVae& vae_;

  Tensor shares(const Tensor& divergences) const {
    const Tensor alpha = torch::tensor(vae_.balance(), torch::kDouble).to(divergences.options());
    const Tensor raw = (divergences.abs() + kFloor) / alpha;
    return raw / raw.mean();
  }
};

}  // namespace

std::unique_ptr<Objective> make_evidence(const EvidenceOptions& options, const ObjectiveParts& parts) {
  if (!parts.generator)
    throw RequestError("objective", "evidence needs the hierarchical auto-encoder of [generator]",
                       "objective.name = \"autoencoder\" for [encoder] and [decoder]");
  return std::make_unique<EvidenceBound>(options, *parts.generator);
}

}  // namespace gibbsite
