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

}  // namespace

std::unique_ptr<LatentPrior> make_normal_prior(std::int64_t size) { return std::make_unique<NormalPrior>(size); }

}  // namespace gibbsite
