#include <gibbsite/objective/noise_contrastive.h>
#include <gibbsite/objective/support.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

constexpr int kNewtonSteps = 100;

class NoiseContrastive : public Objective {
 public:
  NoiseContrastive(const NoiseContrastiveOptions& options, const Energy& energy)
      : options_(options), law_(make_noise_law(options, options.sigma)), energy_(energy) {}

  Loss operator()(const Batch& batch, Rng& rng) const override {
    const Tensor& x = batch.x;
    const auto ratio = static_cast<double>(options_.ratio);
    const EnergyFn energy = energy_.fitted(x);
    const Tensor data = -odds(energy, x);
    std::vector<Tensor> noise;
    for (std::int64_t k = 0; k < options_.ratio; ++k) noise.push_back(odds(energy, law_->sample(x.sizes(), x, rng)));
    const Tensor contrast = at::cat(noise);
    // The gradient at the best constant is that of the profiled loss, with the constant frozen.
    const double c = options_.normaliser == "profile" ? best_constant(data.detach(), contrast.detach()) : 0;
    const Tensor loss = at::softplus(data + c).mean() + ratio * at::softplus(contrast - c).mean();
    return plain_loss(loss, {{"log_normaliser", torch::full({}, c, loss.options().requires_grad(false))}});
  }

 private:
  NoiseContrastiveOptions options_;
  std::unique_ptr<const NoiseLaw> law_;
  const Energy& energy_;

  /// G without its constant, [B].
  Tensor odds(const EnergyFn& energy, const Tensor& x) const {
    return -energy(x) - law_->log_density(x) - std::log(static_cast<double>(options_.ratio));
  }

  /// The c that minimises mean softplus(data + c) + ratio mean softplus(contrast - c), convex in c: Newton's method, with
  /// halving of the bracket where it would leave it.
  double best_constant(const Tensor& data, const Tensor& contrast) const {
    const Tensor a = data.to(at::kCPU, at::kDouble), b = contrast.to(at::kCPU, at::kDouble);
    const auto ratio = static_cast<double>(options_.ratio);
    const double reach = 40 + std::log(ratio);
    double low = std::min(-a.max().item<double>(), b.min().item<double>()) - reach;
    double high = std::max(-a.min().item<double>(), b.max().item<double>()) + reach;
    double c = 0.5 * (b.mean().item<double>() - a.mean().item<double>());
    for (int i = 0; i < kNewtonSteps; ++i) {
      const Tensor p = at::sigmoid(a + c), q = at::sigmoid(b - c);
      const double slope = p.mean().item<double>() - ratio * q.mean().item<double>();
      const double curvature = (p * (1 - p)).mean().item<double>() + ratio * (q * (1 - q)).mean().item<double>();
      (slope > 0 ? high : low) = c;
      double next = curvature > 0 ? c - slope / curvature : high;
      if (!(next > low && next < high)) next = 0.5 * (low + high);
      if (std::abs(next - c) <= 1e-14 * (1 + std::abs(c))) return next;
      c = next;
    }
    return c;
  }
};

}  // namespace

std::unique_ptr<Objective> make_noise_contrastive(const NoiseContrastiveOptions& options, const ObjectiveParts& parts) {
  if (options.contrast == "shift") return make_one_sided(options, DropFunction::kLogistic, parts, "nce");
  return std::make_unique<NoiseContrastive>(options, require_energy(parts, "nce"));
}

}  // namespace gibbsite
