#include <gibbsite/core/error.h>
#include <gibbsite/model/latent_prior.h>
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

std::unique_ptr<LatentPrior> make_uniform_prior(std::shared_ptr<const Manifold> manifold) {
  if (!std::isfinite(manifold->volume()))
    throw RequestError("latent", "there is no uniform law where the volume is infinite");
  return std::make_unique<UniformPrior>(std::move(manifold));
}

}  // namespace gibbsite
