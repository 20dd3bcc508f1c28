#include <gibbsite/calculus/activation.h>
#include <gibbsite/calculus/exponential_family.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

Tensor zeros_like_rows(const Tensor& rows) { return torch::zeros_like(rows.select(-1, 0)); }

Tensor positions(const Jet& jet, std::int64_t from, std::int64_t count) { return jet.c.narrow(1, from, count); }

class Gaussian : public ExponentialFamily {
 public:
  explicit Gaussian(std::int64_t size) : size_(size) {}
  std::int64_t size() const override { return size_; }
  std::int64_t statistics() const override { return 2 * size_; }
  Tensor statistic(const Tensor& z) const override { return at::cat({z, z.square()}, -1); }
  Tensor log_base(const Tensor& z) const override { return zeros_like_rows(z) + base(); }
  Tensor mean_log_base(const Tensor& natural) const override { return zeros_like_rows(natural) + base(); }
  Tensor log_normaliser(const Tensor& natural) const override {
    const Tensor slope = first(natural), bend = second(natural);
    return (-0.25 * slope.square() / bend - 0.5 * (-2 * bend).log()).sum(-1);
  }
  std::optional<Jet> log_normaliser(const Jet& natural) const override {
    const Jet slope = natural.with(positions(natural, 0, size_)), bend = natural.with(positions(natural, size_, size_));
    return sum(square(slope) * reciprocal(bend) * -0.25 - log(bend * -2) * 0.5, {1});
  }
  Tensor mean_parameters(const Tensor& natural) const override {
    const Tensor m = mean(natural);
    return at::cat({m, m.square() + variance(natural)}, -1);
  }
  Tensor natural_parameters(const Tensor& mean) const override {
    const Tensor m = first(mean), precision = 1 / (second(mean) - m.square());
    return at::cat({m * precision, -0.5 * precision}, -1);
  }
  Tensor standard() const override {
    return at::cat({torch::zeros({size_}, torch::kDouble), torch::full({size_}, -0.5, torch::kDouble)});
  }
  Tensor natural_of_free(const Tensor& free) const override {
    const Tensor precision = (-2 * second(free)).exp();
    return at::cat({first(free) * precision, -0.5 * precision}, -1);
  }
  Tensor updated(const Tensor& natural, const Tensor& raw) const override {
    return natural + at::cat({first(raw), -second(raw).square()}, -1);
  }
  std::optional<Jet> updated(const Tensor& natural, const Jet& raw) const override {
    const Jet square_of = square(raw.with(positions(raw, size_, size_)));
    return raw.with(at::cat({positions(raw, 0, size_), -square_of.c}, 1)) + natural;
  }
  Tensor mean(const Tensor& natural) const override { return -0.5 * first(natural) / second(natural); }
  Tensor variance(const Tensor& natural) const override { return -0.5 / second(natural); }
  Tensor sample(const Tensor& natural, Rng& rng) const override {
    const torch::NoGradGuard no_grad;
    return mean(natural) + variance(natural).sqrt() * rng.normal({natural.size(0), size_}, natural);
  }

 private:
  std::int64_t size_;
  double base() const { return -0.5 * static_cast<double>(size_) * std::log(2 * M_PI); }
  Tensor first(const Tensor& rows) const { return rows.narrow(-1, 0, size_); }
  Tensor second(const Tensor& rows) const { return rows.narrow(-1, size_, size_); }
};

// What families whose natural parameters are any real numbers share.
class Unbounded : public ExponentialFamily {
 public:
  explicit Unbounded(std::int64_t size) : size_(size) {}
  std::int64_t size() const override { return size_; }
  std::int64_t statistics() const override { return size_; }
  Tensor statistic(const Tensor& z) const override { return z; }
  Tensor log_base(const Tensor& z) const override { return zeros_like_rows(z); }
  Tensor mean_log_base(const Tensor& natural) const override { return zeros_like_rows(natural); }
  Tensor standard() const override { return torch::zeros({size_}, torch::kDouble); }
  Tensor updated(const Tensor& natural, const Tensor& raw) const override { return natural + raw; }
  std::optional<Jet> updated(const Tensor& natural, const Jet& raw) const override { return raw + natural; }
  Tensor mean(const Tensor& natural) const override { return mean_parameters(natural); }

 private:
  std::int64_t size_;
};

class Normal : public Unbounded {
 public:
  using Unbounded::Unbounded;
  Tensor log_base(const Tensor& z) const override { return -0.5 * (z.square() + std::log(2 * M_PI)).sum(-1); }
  Tensor mean_log_base(const Tensor& natural) const override {
    return -0.5 * (natural.square() + 1 + std::log(2 * M_PI)).sum(-1);
  }
  Tensor log_normaliser(const Tensor& natural) const override { return 0.5 * natural.square().sum(-1); }
  std::optional<Jet> log_normaliser(const Jet& natural) const override { return sum(square(natural), {1}) * 0.5; }
  Tensor mean_parameters(const Tensor& natural) const override { return natural; }
  Tensor natural_parameters(const Tensor& mean) const override { return mean; }
  Tensor variance(const Tensor& natural) const override { return torch::ones_like(natural); }
  Tensor sample(const Tensor& natural, Rng& rng) const override {
    return natural.detach() + rng.normal(natural.sizes(), natural);
  }
};

class Bernoulli : public Unbounded {
 public:
  using Unbounded::Unbounded;
  Tensor log_normaliser(const Tensor& natural) const override {
    return activate(Activation::kSoftplus, natural).sum(-1);
  }
  std::optional<Jet> log_normaliser(const Jet& natural) const override { return sum(softplus(natural), {1}); }
  Tensor mean_parameters(const Tensor& natural) const override { return natural.sigmoid(); }
  Tensor natural_parameters(const Tensor& mean) const override { return mean.log() - (1 - mean).log(); }
  Tensor variance(const Tensor& natural) const override {
    const Tensor p = natural.sigmoid();
    return p * (1 - p);
  }
  Tensor sample(const Tensor& natural, Rng& rng) const override {
    return rng.uniform(natural.sizes(), natural).le(natural.detach().sigmoid()).to(natural.scalar_type());
  }
  bool discrete() const override { return true; }
};

class Categorical : public Unbounded {
 public:
  using Unbounded::Unbounded;
  Tensor log_normaliser(const Tensor& natural) const override { return with_last(natural).logsumexp(-1); }
  std::optional<Jet> log_normaliser(const Jet& natural) const override {
    return logsumexp(natural.with(with_last(natural.c)), 1);
  }
  Tensor mean_parameters(const Tensor& natural) const override {
    return with_last(natural).softmax(-1).narrow(-1, 0, size());
  }
  Tensor natural_parameters(const Tensor& mean) const override { return mean.log() - (1 - mean.sum(-1, true)).log(); }
  Tensor variance(const Tensor& natural) const override {
    const Tensor p = mean_parameters(natural);
    return p * (1 - p);
  }
  Tensor sample(const Tensor& natural, Rng& rng) const override {
    const torch::NoGradGuard no_grad;
    const Tensor below = mean_parameters(natural).cumsum(-1);
    const Tensor chosen = (rng.uniform({natural.size(0), 1}, natural) > below).sum(-1, true);
    Tensor z = torch::zeros({natural.size(0), size() + 1}, natural.options());
    return z.scatter_(1, chosen, 1).narrow(1, 0, size());
  }
  bool discrete() const override { return true; }

 private:
  static Tensor with_last(const Tensor& natural) {
    return at::cat({natural, torch::zeros_like(natural.narrow(-1, 0, 1))}, -1);
  }
};

class Dirichlet : public ExponentialFamily {
 public:
  explicit Dirichlet(std::int64_t size) : size_(size) {}
  std::int64_t size() const override { return size_; }
  std::int64_t statistics() const override { return size_; }
  Tensor statistic(const Tensor& z) const override { return z.log(); }
  Tensor log_base(const Tensor& z) const override { return zeros_like_rows(z); }
  Tensor mean_log_base(const Tensor& natural) const override { return zeros_like_rows(natural); }
  Tensor log_normaliser(const Tensor& natural) const override {
    const Tensor alpha = natural + 1;
    return alpha.lgamma().sum(-1) - alpha.sum(-1).lgamma();
  }
  std::optional<Jet> log_normaliser(const Jet&) const override { return std::nullopt; }
  Tensor mean_parameters(const Tensor& natural) const override {
    const Tensor alpha = natural + 1;
    return alpha.digamma() - alpha.sum(-1, true).digamma();
  }
  Tensor natural_parameters(const Tensor& mean) const override {
    Tensor alpha;
    {
      // Minka's fixed point (2000), whose digamma is inverted by Newton steps; then Newton on the whole.
      const torch::NoGradGuard no_grad;
      alpha = torch::ones_like(mean);
      for (int k = 0; k < kFixedPoints; ++k) alpha = inverse_digamma(mean + alpha.sum(-1, true).digamma());
      for (int k = 0; k < kNewtonSteps; ++k) alpha = newton(alpha, mean).clamp_min(1e-8);
    }
    // Once more with graph: the derivative of Newton's step at the solution is that of the inverse.
    return newton(alpha, mean) - 1;
  }
  Tensor standard() const override { return torch::zeros({size_}, torch::kDouble); }
  Tensor natural_of_free(const Tensor& free) const override { return free.exp() - 1; }
  Tensor updated(const Tensor& natural, const Tensor& raw) const override { return natural + raw.square(); }
  std::optional<Jet> updated(const Tensor& natural, const Jet& raw) const override { return square(raw) + natural; }
  Tensor mean(const Tensor& natural) const override {
    const Tensor alpha = natural + 1;
    return alpha / alpha.sum(-1, true);
  }
  Tensor variance(const Tensor& natural) const override {
    const Tensor m = mean(natural);
    return m * (1 - m) / ((natural + 1).sum(-1, true) + 1);
  }
  Tensor sample(const Tensor& natural, Rng& rng) const override {
    const torch::NoGradGuard no_grad;
    // In logarithms, where shares of tiny α do not vanish.
    const Tensor log_gamma = log_gamma_draws(natural.to(torch::kDouble) + 1, rng);
    return (log_gamma - log_gamma.logsumexp(-1, true)).exp().to(natural.scalar_type());
  }

 private:
  static constexpr int kFixedPoints = 200, kNewtonSteps = 8;
  std::int64_t size_;

  static Tensor inverse_digamma(const Tensor& y) {
    Tensor x = torch::where(y >= -2.22, y.exp() + 0.5, -1 / (y + 0.5772156649015329));
    for (int k = 0; k < 6; ++k) x = x - (x.digamma() - y) / torch::polygamma(1, x);
    return x;
  }
  // The Hessian of B is a diagonal less a constant, inverted by Sherman and Morrison.
  static Tensor newton(const Tensor& alpha, const Tensor& mean) {
    const Tensor residual = alpha.digamma() - alpha.sum(-1, true).digamma() - mean;
    const Tensor q = torch::polygamma(1, alpha), total = torch::polygamma(1, alpha.sum(-1, true));
    const Tensor scaled = residual / q, share = (1 / q).sum(-1, true);
    return alpha - (scaled + (1 / q) * (total * scaled.sum(-1, true) / (1 - total * share)));
  }
  // Logarithms of gamma variables of these shapes (Marsaglia and Tsang 2000); below 1 by that of one more and a power.
  static Tensor log_gamma_draws(const Tensor& shape, Rng& rng) {
    const Tensor small = shape < 1, d = torch::where(small, shape + 1, shape) - 1.0 / 3;
    const Tensor c = 1 / (9 * d).sqrt(), power = rng.uniform(shape.sizes(), shape).log() / shape;
    Rng own = rng.fork();
    Tensor log_value = torch::zeros_like(shape), waiting = torch::ones_like(shape, torch::kBool);
    while (waiting.any().item<bool>()) {
      const Tensor x = own.normal(shape.sizes(), shape), u = own.uniform(shape.sizes(), shape), root = 1 + c * x;
      const Tensor log_v = 3 * root.clamp_min(1e-300).log();
      const Tensor good = (root > 0).logical_and(u.log() < 0.5 * x.square() + d * (1 - log_v.exp() + log_v));
      log_value = torch::where(waiting.logical_and(good), d.log() + log_v, log_value);
      waiting = waiting.logical_and(good.logical_not());
    }
    return torch::where(small, log_value + power, log_value);
  }
};

}  // namespace

std::unique_ptr<ExponentialFamily> make_gaussian_family(std::int64_t size) { return std::make_unique<Gaussian>(size); }
std::unique_ptr<ExponentialFamily> make_normal_family(std::int64_t size) { return std::make_unique<Normal>(size); }
std::unique_ptr<ExponentialFamily> make_bernoulli_family(std::int64_t size) {
  return std::make_unique<Bernoulli>(size);
}
std::unique_ptr<ExponentialFamily> make_categorical_family(std::int64_t size) {
  return std::make_unique<Categorical>(size);
}
std::unique_ptr<ExponentialFamily> make_dirichlet_family(std::int64_t size) {
  return std::make_unique<Dirichlet>(size);
}

Tensor log_density(const ExponentialFamily& family, const Tensor& z, const Tensor& natural) {
  return (family.statistic(z) * natural).sum(-1) - family.log_normaliser(natural) + family.log_base(z);
}

Tensor entropy(const ExponentialFamily& family, const Tensor& natural) {
  return family.log_normaliser(natural) - (natural * family.mean_parameters(natural)).sum(-1) -
         family.mean_log_base(natural);
}

Tensor dual(const ExponentialFamily& family, const Tensor& mean) {
  const Tensor natural = family.natural_parameters(mean);
  return (mean * natural).sum(-1) - family.log_normaliser(natural);
}

Tensor kullback_leibler(const ExponentialFamily& family, const Tensor& a, const Tensor& b) {
  return family.log_normaliser(b) - family.log_normaliser(a) - ((b - a) * family.mean_parameters(a)).sum(-1);
}

Tensor dual_divergence(const ExponentialFamily& family, const Tensor& a, const Tensor& b) {
  return dual(family, a) - dual(family, b) - ((a - b) * family.natural_parameters(b)).sum(-1);
}

Tensor dual_divergence_less_bias(const ExponentialFamily& family, const Tensor& statistic, const Tensor& mean) {
  return -dual(family, mean) - ((statistic - mean) * family.natural_parameters(mean)).sum(-1);
}

}  // namespace gibbsite
