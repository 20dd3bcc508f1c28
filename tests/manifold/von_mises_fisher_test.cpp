#include <gibbsite/manifold/curved.h>
#include <gibbsite/manifold/sphere.h>
#include <gibbsite/manifold/von_mises_fisher.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

Tensor scalar(double value) { return torch::full({1}, value, torch::kDouble); }

// ∫ over the sphere of f(height) exp(κ (height - 1)), the height being 1 - 2 sin²(φ/2), by quadrature in φ.
double integral(double kappa, std::int64_t m, const std::function<Tensor(const Tensor&)>& f) {
  const double top = std::min(M_PI, 12 / std::sqrt(kappa));
  const GaussLegendre rule = gauss_legendre(400, 0, top);
  const Tensor fall = 2 * (rule.nodes / 2).sin().square();
  const Tensor density = (-kappa * fall).exp() * rule.nodes.sin().pow(static_cast<double>(m - 2));
  const double area = m == 2 ? std::log(2.0) : log_sphere_area(m - 1);
  return (rule.weights * density * f(1 - fall)).sum().item<double>() * std::exp(area);
}

TEST(VonMisesFisher, NormaliserAndMeanLengthAgainstQuadrature) {
  for (const std::int64_t m : {2, 3, 4, 9, 33})
    for (const double kappa : {1e-4, 0.02, 0.7, 9.0, 11.0, 60.0, 200.0, 699.0, 701.0, 2e3, 1.2e4, 1e6}) {
      const double mass = integral(kappa, m, [](const Tensor& t) { return torch::ones_like(t); });
      const double tolerance = 1e-11 * (kappa + 100);
      EXPECT_NEAR(vmf_log_normaliser(scalar(kappa), m).item<double>(), -std::log(mass) - kappa, tolerance)
          << m << " " << kappa;
      // 1 - A, which has to survive large κ.
      const double short_of = integral(kappa, m, [](const Tensor& t) { return 1 - t; }) / mass;
      EXPECT_NEAR(1 - vmf_mean_length(scalar(kappa), m).item<double>(), short_of, 1e-12) << m << " " << kappa;
    }
  for (const std::int64_t m : {2, 3, 10})
    EXPECT_NEAR(vmf_log_normaliser(scalar(0), m).item<double>(), -log_sphere_area(m), 1e-13);
  EXPECT_NEAR(vmf_log_normaliser(scalar(3), 3).item<double>(), std::log(3 / (4 * M_PI * std::sinh(3.0))), 1e-13);
  // In high dimension, where neither quadrature nor Hankel's expansion helps: I_ν-1 - I_ν+1 = (2ν/x) I_ν.
  for (const double order : {80.0, 120.0})
    for (const double x : {9e3, 1.1e4, 2e4}) {
      const double below = bessel_i_ratio(order - 1, x), above = bessel_i_ratio(order, x);
      EXPECT_NEAR(1 / below - above, 2 * order / x, 1e-12);
      EXPECT_NEAR(log_bessel_i(order, x) - log_bessel_i(order - 1, x), std::log(below), 1e-11) << order << " " << x;
    }
}

TEST(VonMisesFisher, DerivativesInTheConcentration) {
  for (const std::int64_t m : {2, 3, 9})
    for (const double at : {1e-5, 0.3, 5.0, 80.0, 5e3}) {
      const double h = 1e-4 * at;
      const auto difference = [&](auto f) { return (f(at + h) - f(at - h)) / (2 * h); };
      const Tensor kappa = scalar(at).requires_grad_();
      const Tensor slope = torch::autograd::grad({vmf_log_normaliser(kappa, m)}, {kappa}, {}, true, true)[0];
      EXPECT_NEAR(slope.item<double>(),
                  difference([&](double k) { return vmf_log_normaliser(scalar(k), m).item<double>(); }), 1e-6);
      const Tensor second = torch::autograd::grad({slope}, {kappa}, {}, true, true)[0];
      const double expected = -difference([&](double k) { return vmf_mean_length(scalar(k), m).item<double>(); });
      EXPECT_NEAR(second.item<double>(), expected, 1e-6 * std::abs(expected) + 1e-9) << m << " " << at;
      const double third = difference([&](double k) {
        const Tensor x = scalar(k).requires_grad_();
        return -torch::autograd::grad({vmf_mean_length(x, m)}, {x})[0].item<double>();
      });
      EXPECT_NEAR(torch::autograd::grad({second}, {kappa})[0].item<double>(), third, 1e-5 * std::abs(third) + 1e-7);
    }
}

TEST(VonMisesFisher, DivergenceFromUniformAgainstQuadrature) {
  for (const std::int64_t m : {2, 3})
    for (const double kappa : {0.1, 2.0, 30.0}) {
      const double log_c = vmf_log_normaliser(scalar(kappa), m).item<double>();
      const double kl = integral(kappa, m, [&](const Tensor& t) {
        return std::exp(log_c + kappa) * (kappa * t + log_c + log_sphere_area(m));
      });
      EXPECT_NEAR(vmf_kl_uniform(scalar(kappa), m).item<double>(), kl, 1e-10) << m << " " << kappa;
    }
  EXPECT_NEAR(vmf_kl_uniform(scalar(0), 5).item<double>(), 0, 1e-13);
}

TEST(VonMisesFisher, SamplesHaveTheirLaw) {
  const std::int64_t n = 20000;
  for (const std::int64_t m : {2, 3, 4, 9, 33})
    for (const double kappa : {0.2, 3.0, 40.0, 1e4}) {
      SCOPED_TRACE(testing::Message() << m << " " << kappa);
      Tensor mean = Rng(3, "mean").normal({1, m}, torch::kDouble);
      mean = (mean / mean.norm()).expand({n, m});
      Rng rng(4, "vmf");
      const Tensor x = vmf_sample(mean, torch::full({n}, kappa, torch::kDouble), rng);
      EXPECT_LT((x.norm(2, 1) - 1).abs().max().item<double>(), 1e-13);
      const Tensor height = (x * mean).sum(1);
      // The mean is along `mean`, its length A(κ).
      EXPECT_NEAR(height.mean().item<double>(), vmf_mean_length(scalar(kappa), m).item<double>(),
                  4 * height.std().item<double>() / std::sqrt(n));
      const Tensor across = x - mean * height.unsqueeze(1);
      EXPECT_LT((across.mean(0) / (across.std(0) / std::sqrt(n))).abs().max().item<double>(), 4);
      // Kolmogorov–Smirnov of the height, its distribution function by quadrature over the angle.
      const Tensor sorted = std::get<0>(height.sort());
      const double total = integral(kappa, m, [](const Tensor& t) { return torch::ones_like(t); });
      double worst = 0;
      for (std::int64_t i = n / 40; i < n; i += n / 20) {
        const double angle = std::acos(sorted[i].item<double>());
        const GaussLegendre rule = gauss_legendre(200, 0, angle);
        const Tensor density =
            (-2 * kappa * (rule.nodes / 2).sin().square()).exp() * rule.nodes.sin().pow(static_cast<double>(m - 2));
        const double area = m == 2 ? std::log(2.0) : log_sphere_area(m - 1);
        const double above = (rule.weights * density).sum().item<double>() * std::exp(area) / total;
        worst = std::max(worst, std::abs(1 - above - static_cast<double>(i) / static_cast<double>(n)));
      }
      EXPECT_LT(worst * std::sqrt(n), 1.95);
    }
}

// On S² the reparametrised derivative is that of the expectation; in float32 large κ keep their place on the sphere.
TEST(VonMisesFisher, ReparametrisedDerivative) {
  const std::int64_t n = 40000;
  const Tensor mean = torch::tensor({{-0.6, 0.0, 0.8}}, torch::kDouble).expand({n, 3});
  const Tensor kappa = torch::full({n}, 2.5, torch::kDouble).requires_grad_();
  Rng rng(5, "vmf");
  const Tensor slopes = torch::autograd::grad({(vmf_sample(mean, kappa, rng) * mean).sum()}, {kappa})[0];
  const Tensor at = scalar(2.5).requires_grad_();
  const double expected = torch::autograd::grad({vmf_mean_length(at, 3)}, {at})[0].item<double>();
  EXPECT_NEAR(slopes.mean().item<double>(), expected, 4 * slopes.std().item<double>() / std::sqrt(n));
  // Elsewhere it is the derivative with the same draws.
  for (const std::int64_t m : {2, 5}) {
    const Tensor to = torch::eye(m, torch::kDouble).narrow(0, 0, 1).expand({50, m});
    const auto height = [&](const Tensor& k) {
      Rng same(6, "vmf");
      return vmf_sample(to, k, same).select(1, 0);
    };
    const Tensor k = torch::full({50}, 1.7, torch::kDouble).requires_grad_();
    const Tensor slope = torch::autograd::grad({height(k).sum()}, {k})[0];
    const double h = 1e-6;
    EXPECT_LT(((height(k.detach() + h) - height(k.detach() - h)) / (2 * h) - slope).abs().max().item<double>(), 1e-6);
  }
  Rng narrow(7, "vmf");
  const Tensor x = vmf_sample(mean.to(torch::kFloat), torch::full({n}, 1e6), narrow);
  EXPECT_LT((x.norm(2, 1) - 1).abs().max().item<double>(), 1e-6);
  EXPECT_TRUE(vmf_kl_uniform(torch::full({1}, 1e6), 33).isfinite().all().item<bool>());
}

}  // namespace
}  // namespace gibbsite
