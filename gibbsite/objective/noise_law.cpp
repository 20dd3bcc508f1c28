#include <gibbsite/objective/noise_law.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

double dimension(const Tensor& n) { return static_cast<double>(n[0].numel()); }

class Gaussian : public NoiseLaw {
 public:
  explicit Gaussian(double sigma) : sigma_(sigma) {}
  Tensor sample(at::IntArrayRef sizes, const Tensor& like, Rng& rng) const override {
    return sigma_ * rng.normal(sizes, like);
  }
  Tensor score(const Tensor& n) const override { return n.detach() / (-sigma_ * sigma_); }
  Tensor log_density(const Tensor& n) const override {
    const double log_normaliser = dimension(n) * (std::log(sigma_) + 0.5 * std::log(2 * M_PI));
    return -0.5 * sum_event((n.detach() / sigma_).square()) - log_normaliser;
  }

 private:
  double sigma_;
};

// log erfc(z) without underflow.
Tensor log_erfc(const Tensor& z) {
  const Tensor positive = z.clamp_min(0);
  return at::where(z > 0, at::special_erfcx(positive).log() - positive.square(), at::erfc(z.clamp_max(0)).log());
}

// The density of Laplace(b) + N(0, s²) is exp(s²/2b²)/4b times the sum of e^{-n/b} erfc((s/b - n/s)/√2) and the same of -n.
class SmoothedLaplace : public NoiseLaw {
 public:
  SmoothedLaplace(double sigma, double smoothing) : b_(sigma), s_(smoothing * sigma) {}
  Tensor sample(at::IntArrayRef sizes, const Tensor& like, Rng& rng) const override {
    const Tensor sign = rng.rademacher(sizes, like), exponential = -rng.uniform(sizes, like).log();
    return b_ * sign * exponential + s_ * rng.normal(sizes, like);
  }
  Tensor score(const Tensor& n) const override {
    // The Gaussian terms of the derivatives of the two halves cancel.
    return ((half(n.detach(), -1) - half(n.detach(), 1)) * 0.5).tanh() / b_;
  }
  Tensor log_density(const Tensor& n) const override {
    const double constant = s_ * s_ / (2 * b_ * b_) - std::log(4 * b_);
    return sum_event(at::logaddexp(half(n.detach(), 1), half(n.detach(), -1)) + constant);
  }

 private:
  double b_, s_;

  Tensor half(const Tensor& n, double sign) const {
    return -sign / b_ * n + log_erfc((s_ / b_ - sign / s_ * n) * M_SQRT1_2);
  }
};

class Student : public NoiseLaw {
 public:
  Student(double sigma, std::int64_t degrees) : sigma_(sigma), degrees_(degrees) {}
  Tensor sample(at::IntArrayRef sizes, const Tensor& like, Rng& rng) const override {
    const Tensor n = rng.normal(sizes, like);
    const Tensor chi_square = rng.normal({sizes[0], degrees_}, like).square().sum(1);
    return sigma_ * scale_rows(n, (nu() / chi_square).sqrt());
  }
  Tensor score(const Tensor& n) const override {
    const Tensor radius = sum_event(n.detach().square());
    return scale_rows(n.detach(), -(nu() + dimension(n)) / (nu() * sigma_ * sigma_ + radius));
  }
  Tensor log_density(const Tensor& n) const override {
    const double d = dimension(n);
    const double constant =
        std::lgamma((nu() + d) / 2) - std::lgamma(nu() / 2) - d / 2 * std::log(nu() * M_PI * sigma_ * sigma_);
    return constant - (nu() + d) / 2 * at::log1p(sum_event(n.detach().square()) / (nu() * sigma_ * sigma_));
  }

 private:
  double sigma_;
  std::int64_t degrees_;
  double nu() const { return static_cast<double>(degrees_); }
};

}  // namespace

std::unique_ptr<const NoiseLaw> make_noise_law(const NoiseLawOptions& options, double sigma) {
  if (options.law == "laplace") return std::make_unique<SmoothedLaplace>(sigma, options.smoothing);
  if (options.law == "student") return std::make_unique<Student>(sigma, options.degrees);
  return std::make_unique<Gaussian>(sigma);
}

}  // namespace gibbsite
