#include <gibbsite/core/error.h>
#include <gibbsite/data/density.h>
#include <torch/autograd.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {

Tensor Density::log_density(const Tensor& /*x*/) const {
  throw RequestError("data", "this generated data set has no closed log density",
                     "checkerboard, 25-gaussians, ring, banana and gaussian-mixture have one");
}

Tensor Density::score(const Tensor& x) const {
  const at::AutoGradMode enabled(true);
  const Tensor at = x.detach().requires_grad_(true);
  return torch::autograd::grad({log_density(at).sum()}, {at})[0];
}

namespace {

class Jittered : public Density {
 public:
  Jittered(std::unique_ptr<Density> clean, double noise) : clean_(std::move(clean)), noise_(noise) {}
  std::int64_t dimension() const override { return clean_->dimension(); }
  Tensor sample(std::int64_t n, Rng& rng, at::ScalarType dtype) const override {
    const Tensor x = clean_->sample(n, rng, dtype);
    return x + noise_ * rng.normal(x.sizes(), x);
  }
  Box box() const override {
    Box box = clean_->box();
    for (double& low : box.low) low -= 8 * noise_;
    for (double& high : box.high) high += 8 * noise_;
    return box;
  }
  double length_scale() const override { return std::hypot(clean_->length_scale(), noise_); }

 private:
  std::unique_ptr<Density> clean_;
  double noise_;
};

}  // namespace

std::unique_ptr<Density> jittered(std::unique_ptr<Density> density, double noise) {
  if (noise == 0) return density;
  return std::make_unique<Jittered>(std::move(density), noise);
}

std::shared_ptr<const Manifold> manifold_of(const Density& density) {
  const std::optional<Config> table = density.manifold();
  if (!table) return nullptr;
  return find_entry(manifold_table(), "manifold", table->find("name")->string(), "data").make(*table);
}

std::optional<DensityIntegrals> integrate_plane(const Density& density, double points_per_length) {
  if (density.dimension() != 2 || density.manifold() || !density.has_log_density() || density.has_jumps())
    return std::nullopt;
  const Box box = density.box();
  const double spacing = density.length_scale() / points_per_length;
  const double columns = std::ceil((box.high[0] - box.low[0]) / spacing);
  const double rows = std::ceil((box.high[1] - box.low[1]) / spacing);
  if (columns * rows > 4e6) return std::nullopt;
  const Tensor first = box.low[0] + spacing * torch::arange(static_cast<std::int64_t>(columns) + 1, torch::kDouble);
  const Tensor second = box.low[1] + spacing * torch::arange(static_cast<std::int64_t>(rows) + 1, torch::kDouble);
  DensityIntegrals sums{0, 0, 0};
  const std::int64_t strip = std::max<std::int64_t>(1, 100000 / second.size(0));
  for (std::int64_t begin = 0; begin < first.size(0); begin += strip) {
    const Tensor x1 = first.slice(0, begin, std::min(begin + strip, first.size(0)));
    const Tensor x = torch::stack({x1.repeat_interleave(second.size(0)), second.repeat({x1.size(0)})}, 1);
    const Tensor log_p = density.log_density(x).detach();
    const Tensor p = log_p.exp();
    sums.mass += p.sum().item<double>();
    sums.entropy -= (p * log_p).sum().item<double>();
    sums.fisher_information += (p * density.score(x).square().sum(1)).sum().item<double>();
  }
  const double cell = spacing * spacing;
  return DensityIntegrals{sums.mass * cell, sums.entropy * cell, sums.fisher_information * cell};
}

}  // namespace gibbsite
