#include <gibbsite/core/error.h>
#include <gibbsite/model/latent_prior.h>
#include <gibbsite/nn/parameters.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

class NormalPrior : public LatentPrior {
 public:
  explicit NormalPrior(std::int64_t size) : size_(size) {}
  Tensor sample(std::int64_t rows, const Tensor& like, Rng& rng) const override {
    return rng.normal({rows, size_}, like);
  }
  Tensor energy(const Tensor& h) const override {
    return 0.5 * h.square().sum(-1) + 0.5 * static_cast<double>(size_) * std::log(2 * M_PI);
  }
  Tensor score(const Tensor& h) const override { return -h; }
  std::int64_t size() const override { return size_; }

 private:
  std::int64_t size_;
};

class MixturePrior : public LatentPrior {
 public:
  MixturePrior(const MixturePriorOptions& options, std::int64_t size, const ModelContext& context)
      : options_(options),
        size_(size),
        parameters_(context.init, context.dtype, context.device),
        mean_(parameters_.normal("prior.mean", {options.components, size}, options.spread)),
        log_deviation_(parameters_.constant("prior.log_deviation", {options.components, size}, 0)) {
    if (options.learn_prior) return;
    for (Tensor& parameter : parameters_.module().parameters()) parameter.requires_grad_(false);
  }
  Tensor sample(std::int64_t rows, const Tensor& like, Rng& rng) const override {
    const torch::NoGradGuard no_grad;
    const Tensor share = rng.uniform({rows}, like) * static_cast<double>(options_.components);
    const Tensor chosen = share.to(torch::kLong).clamp_max(options_.components - 1);
    return mean_.index_select(0, chosen) +
           log_deviation().exp().index_select(0, chosen) * rng.normal({rows, size_}, like);
  }
  Tensor energy(const Tensor& h) const override {
    const double constant =
        std::log(static_cast<double>(options_.components)) + 0.5 * static_cast<double>(size_) * std::log(2 * M_PI);
    return constant - by_component(h).logsumexp(-1);
  }
  Tensor score(const Tensor& h) const override {
    const Tensor pull = (mean_ - h.unsqueeze(-2)) * (-2 * log_deviation()).exp();
    return (by_component(h).softmax(-1).unsqueeze(-1) * pull).sum(-2);
  }
  std::int64_t size() const override { return size_; }
  bool standard() const override { return false; }
  torch::nn::Module* module() override { return &parameters_.module(); }

 private:
  MixturePriorOptions options_;
  std::int64_t size_;
  Parameters parameters_;
  Tensor mean_, log_deviation_;  // [L, K]

  Tensor log_deviation() const { return log_deviation_.clamp_min(options_.least_log_deviation); }
  // log N(h; component) but for its constant: [..., K] -> [..., L].
  Tensor by_component(const Tensor& h) const {
    const Tensor log_deviations = log_deviation();
    const Tensor whitened = (h.unsqueeze(-2) - mean_) * (-log_deviations).exp();
    return -0.5 * whitened.square().sum(-1) - log_deviations.sum(-1);
  }
};

class UniformPrior : public LatentPrior {
 public:
  explicit UniformPrior(std::shared_ptr<const Manifold> manifold)
      : manifold_(std::move(manifold)), log_volume_(std::log(manifold_->volume())) {}
  Tensor sample(std::int64_t rows, const Tensor& like, Rng& rng) const override {
    return manifold_->sample(rows, rng, like);
  }
  Tensor energy(const Tensor& h) const override { return torch::full_like(h.select(-1, 0), log_volume_); }
  Tensor score(const Tensor& h) const override { return torch::zeros_like(h); }
  std::int64_t size() const override { return manifold_->ambient(); }
  std::shared_ptr<const Manifold> manifold() const override { return manifold_; }

 private:
  std::shared_ptr<const Manifold> manifold_;
  double log_volume_;
};

}  // namespace

std::unique_ptr<LatentPrior> make_normal_prior(std::int64_t size) { return std::make_unique<NormalPrior>(size); }

std::unique_ptr<LatentPrior> make_mixture_prior(const MixturePriorOptions& options, std::int64_t size,
                                                const ModelContext& context) {
  return std::make_unique<MixturePrior>(options, size, context);
}

std::unique_ptr<LatentPrior> make_uniform_prior(std::shared_ptr<const Manifold> manifold) {
  if (!std::isfinite(manifold->volume()))
    throw RequestError("latent", "there is no uniform law where the volume is infinite");
  return std::make_unique<UniformPrior>(std::move(manifold));
}

}  // namespace gibbsite
