#include <gibbsite/calculus/kernel.h>
#include <gibbsite/core/error.h>
#include <gibbsite/objective/stein_discrepancy.h>
#include <gibbsite/objective/support.h>
#include <gibbsite/posterior/importance_score.h>
#include <torch/types.h>

#include <utility>

namespace gibbsite {
namespace {

class SteinDiscrepancy : public Objective {
 public:
  SteinDiscrepancy(const SteinDiscrepancyOptions& options, std::shared_ptr<const Score> score)
      : options_(options), score_(std::move(score)) {}
  bool mixes_rows() const override { return true; }
  Loss operator()(const Batch& batch, Rng& rng) const override {
    const std::int64_t pairs = batch.x.size(0) / 2;
    if (pairs == 0) throw WorkError("ksd", "a batch of one row has no pair");
    const Tensor v = batch.x.narrow(0, 0, pairs), w = batch.x.narrow(0, pairs, pairs);
    Rng of_w = rng.at_row(rng.first_row() + pairs);
    const ScoreEval at_v = score_->at(v, rng), at_w = score_->at(w, of_w);
    const KernelPairs k = gaussian_kernel_pairs(v, w, options_.width);
    const Tensor for_w = scale_rows(at_v.value, k.value) + k.gradient;
    const Tensor value = (sum_event(at_w.value * for_w - at_v.value * k.gradient) + k.trace).mean();
    const auto share = static_cast<double>(pairs);
    Tensor surrogate = at_w.pullback(for_w / share);
    if (options_.sides == "both") {
      const Tensor for_v = scale_rows(at_w.value, k.value) - k.gradient;
      surrogate = surrogate + at_v.pullback(for_v / share);
    }
    return surrogate_loss(surrogate, value);
  }

 private:
  SteinDiscrepancyOptions options_;
  std::shared_ptr<const Score> score_;
};

}  // namespace

std::unique_ptr<Objective> make_stein_discrepancy(const SteinDiscrepancyOptions& options, const ObjectiveParts& parts) {
  return std::make_unique<SteinDiscrepancy>(options, require_score(parts, "ksd"));
}

std::unique_ptr<Objective> make_importance_stein(const ImportanceSteinOptions& options, const ObjectiveParts& parts) {
  const auto* model = dynamic_cast<const LatentModel*>(parts.latent.joint);
  if (!model) throw RequestError("objective", "is_ksd needs a latent-variable energy");
  return std::make_unique<SteinDiscrepancy>(options, make_importance_score(options.particles, *model));
}

}  // namespace gibbsite
