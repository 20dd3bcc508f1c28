#include <gibbsite/data/checkerboard.h>
#include <torch/types.h>

#include <cmath>
#include <limits>

namespace gibbsite {
namespace {

// log of the mass that N(x, noise^2) gives to an interval of half width 1/4 about `centre`. Where x lies outside, the
// mass is Q(a) - Q(b) with a, b > 0 the scaled distances to its ends and Q the normal tail; both are carried as
// exp(-a^2/2) erfcx, so that neither the difference nor its logarithm loses digits or underflows.
Tensor log_interval_mass(const Tensor& x, double centre, double noise) {
  const double to_unit = 1 / (noise * std::sqrt(2.0));
  const Tensor distance = (x - centre).abs();
  const Tensor near = (distance - 0.25) * to_unit;
  const Tensor far = (distance + 0.25) * to_unit;
  const Tensor inside = near < 0;
  const Tensor inner = torch::where(inside, near, torch::zeros_like(near));
  const Tensor outer = torch::where(inside, torch::zeros_like(near), near);
  const Tensor near_tail = torch::special_erfcx(outer);
  const Tensor ratio = torch::special_erfcx(far) / near_tail * torch::exp(-distance * (2 * 0.5 * to_unit * to_unit));
  const Tensor outside_mass = torch::log(0.5 * near_tail) - outer.square() + torch::log1p(-ratio);
  const Tensor inside_mass = torch::log(0.5 * (torch::erf(far) - torch::erf(inner)));
  return torch::where(inside, inside_mass, outside_mass);
}

class Checkerboard : public Density {
 public:
  explicit Checkerboard(const CheckerboardOptions& options) : noise_(options.noise) {}
  std::int64_t dimension() const override { return 2; }
  Tensor sample(std::int64_t n, Rng& rng, at::ScalarType dtype) const override {
    const Tensor u = rng.uniform({n, 3}, dtype);
    const Tensor x = 0.5 * (u.slice(1, 1) + (u.slice(1, 0, 1) > 0.5).to(dtype));
    return noise_ > 0 ? x + noise_ * rng.normal({n, 2}, dtype) : x;
  }
  Box box() const override { return {{-8 * noise_, -8 * noise_}, {1 + 8 * noise_, 1 + 8 * noise_}}; }
  double length_scale() const override { return noise_; }

  bool has_log_density() const override { return true; }
  Tensor log_density(const Tensor& x) const override {
    const Tensor x1 = x.select(1, 0), x2 = x.select(1, 1);
    if (noise_ == 0) {
      const Tensor low = (x >= 0).all(1) & (x <= 0.5).all(1);
      const Tensor high = (x >= 0.5).all(1) & (x <= 1).all(1);
      // The sum of zeros ties the constant to x, so that its gradient is zero and not absent.
      return 0 * x.sum(1) + torch::where(low | high, torch::full_like(x1, std::log(2.0)),
                                         torch::full_like(x1, -std::numeric_limits<double>::infinity()));
    }
    const Tensor low = log_interval_mass(x1, 0.25, noise_) + log_interval_mass(x2, 0.25, noise_);
    const Tensor high = log_interval_mass(x1, 0.75, noise_) + log_interval_mass(x2, 0.75, noise_);
    return std::log(2.0) + torch::logaddexp(low, high);
  }

  std::optional<double> entropy() const override {
    if (noise_ == 0) return -std::log(2.0);
    const auto integrals = integrate_plane(*this);
    return integrals ? std::optional(integrals->entropy) : std::nullopt;
  }
  std::optional<double> fisher_information() const override {
    const auto integrals = integrate_plane(*this);
    return integrals ? std::optional(integrals->fisher_information) : std::nullopt;
  }
  bool has_jumps() const override { return noise_ == 0; }

 private:
  double noise_;
};

}  // namespace

std::unique_ptr<Density> make_checkerboard(const Config& options) {
  return std::make_unique<Checkerboard>(read_options<CheckerboardOptions>(options, "data"));
}

}  // namespace gibbsite
