#include <gibbsite/data/ring.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

// With t = |x| - radius and g(t) = exp(-t^2 / (2 sigma^2)) the radius has density proportional to (t + radius) g(t).
class Ring : public Density {
 public:
  explicit Ring(const RingOptions& options) : radius_(options.radius), sigma_(options.sigma) {
    const double edge = std::exp(-0.5 * radius_ * radius_ / (sigma_ * sigma_));
    const double line = sigma_ * std::sqrt(M_PI / 2) * (1 + std::erf(radius_ / (sigma_ * std::sqrt(2.0))));
    mass_ = sigma_ * sigma_ * edge + radius_ * line;
    const double third = sigma_ * sigma_ * (radius_ * radius_ + 2 * sigma_ * sigma_) * edge;
    const double second = sigma_ * sigma_ * (line - radius_ * edge);
    spread_ = (third + radius_ * second) / mass_;
  }

  std::int64_t dimension() const override { return 2; }
  Tensor sample(std::int64_t n, Rng& rng, at::ScalarType dtype) const override {
    const Tensor u = rng.uniform({n, 2}, torch::kDouble);
    const Tensor level = u.select(1, 0);
    // The radius by bisection of its distribution function: the same number of draws for every row.
    Tensor low = torch::zeros_like(level), high = torch::full_like(level, radius_ + 9 * sigma_);
    for (int i = 0; i < 60; ++i) {
      const Tensor middle = 0.5 * (low + high);
      const Tensor below = share_within(middle) < level;
      low = torch::where(below, middle, low);
      high = torch::where(below, high, middle);
    }
    const Tensor angle = 2 * M_PI * u.select(1, 1);
    return (high.unsqueeze(1) * torch::stack({angle.cos(), angle.sin()}, 1)).to(dtype);
  }
  Box box() const override {
    const double reach = radius_ + 8 * sigma_;
    return {{-reach, -reach}, {reach, reach}};
  }
  double length_scale() const override { return sigma_; }

  bool has_log_density() const override { return true; }
  Tensor log_density(const Tensor& x) const override {
    const Tensor t = x.square().sum(1).sqrt() - radius_;
    return -0.5 * (t / sigma_).square() - std::log(2 * M_PI * mass_);
  }
  Tensor score(const Tensor& x) const override {  // autograd divides zero by zero at the origin
    const Tensor r = x.detach().square().sum(1, true).sqrt();
    return x.detach() / r.clamp_min(1e-30) * (radius_ - r) / (sigma_ * sigma_);
  }
  std::optional<double> entropy() const override {
    return std::log(2 * M_PI * mass_) + 0.5 * spread_ / (sigma_ * sigma_);
  }
  std::optional<double> fisher_information() const override { return spread_ / std::pow(sigma_, 4); }

 private:
  double radius_, sigma_;
  double mass_;    // integral of r g(r - radius)
  double spread_;  // E (r - radius)^2

  Tensor share_within(const Tensor& r) const {
    const double root = sigma_ * std::sqrt(2.0);
    const double edge = std::exp(-0.5 * radius_ * radius_ / (sigma_ * sigma_));
    const Tensor t = (r - radius_) / root;
    return (sigma_ * sigma_ * (edge - torch::exp(-t.square())) +
            radius_ * sigma_ * std::sqrt(M_PI / 2) * (torch::erf(t) + std::erf(radius_ / root))) /
           mass_;
  }
};

}  // namespace

std::unique_ptr<Density> make_ring(const Config& options) {
  const auto settings = read_options<RingOptions>(options, "data");
  return jittered(std::make_unique<Ring>(settings), settings.noise);
}

}  // namespace gibbsite
