// What every exponential family must hold, judged by a rule ∫ f ≈ Σ w f(z) over its space (or the sum over its points).
#pragma once

#include <gibbsite/calculus/exponential_family.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {

/// Two members, [1, S] each, and the rule: z [N, K], weight [N].
inline void expect_family(const ExponentialFamily& family, const Tensor& a, const Tensor& b, const Tensor& z,
                          const Tensor& weight, double tolerance) {
  const auto close = [&](const Tensor& found, const Tensor& truth, double error, const char* what) {
    EXPECT_TRUE(at::allclose(found, truth, error, error)) << what << "\n" << found << truth;
  };
  const Tensor log_p = log_density(family, z, a), p = weight * log_p.exp();
  const auto mean_of = [&](const Tensor& rows) { return (p.unsqueeze(1) * rows).sum(0, true); };
  EXPECT_NEAR(p.sum().item<double>(), 1, tolerance);
  const Tensor eta = family.statistic(z);
  ASSERT_EQ(eta.size(1), family.statistics());

  const Tensor free = a.clone().requires_grad_(true);
  const Tensor slope = torch::autograd::grad({family.log_normaliser(free).sum()}, {free})[0];
  const Tensor mu = family.mean_parameters(a);
  close(mu, slope, 1e-10, "the mean parameters are the gradient of B");
  close(mu, mean_of(eta), tolerance, "and the means of the statistics");
  close(family.natural_parameters(mu), a, 1e-9, "the gradient of B* leads back");
  close(family.natural_parameters(family.mean_parameters(b)), b, 1e-9, "from the other member too");
  const Tensor point = mu.clone().requires_grad_(true);
  close(torch::autograd::grad({dual(family, point).sum()}, {point})[0], a, 1e-8, "it is the gradient of B*");
  // The derivative of the inverse is the inverse of the derivative.
  const Tensor back = family.natural_parameters(point),
               along = torch::linspace(0.3, 1, family.statistics(), at::kDouble);
  const Tensor pulled = torch::autograd::grad({(back * along).sum()}, {point})[0];
  const Tensor means = family.mean_parameters(free);
  close(torch::autograd::grad({(means * pulled).sum()}, {free})[0], along.unsqueeze(0), 1e-7, "Hessians are inverses");

  const Tensor log_q = log_density(family, z, b);
  EXPECT_NEAR(kullback_leibler(family, a, b).item<double>(), (p * (log_p - log_q)).sum().item<double>(), tolerance);
  EXPECT_NEAR(kullback_leibler(family, a, b).item<double>(),
              dual_divergence(family, mu, family.mean_parameters(b)).item<double>(), 1e-9);
  EXPECT_NEAR(entropy(family, a).item<double>(), -(p * log_p).sum().item<double>(), tolerance);
  // Eq. 15: the density by the divergence of its statistics from the mean parameters.
  close(dual_divergence_less_bias(family, eta, mu), family.log_base(z) - log_p, 1e-9, "Eq. 15");

  const Tensor m = family.mean(a);
  close(m, mean_of(z), tolerance, "mean");
  close(family.variance(a), mean_of((z - m).square()), tolerance, "variance");
  const std::int64_t rows = 20000;
  Rng rng(1, "draws");
  const Tensor draws = family.sample(a.expand({rows, a.size(1)}), rng), of_draws = family.statistic(draws);
  ASSERT_EQ(draws.sizes(), (Shape{rows, family.size()}));
  const Tensor error = of_draws.std(0) / std::sqrt(static_cast<double>(rows));
  EXPECT_LT(((of_draws.mean(0) - mu[0]).abs() / error).max().item<double>(), 4.5) << of_draws.mean(0) << mu;

  // An update leads to no point outside, whatever it is; free parameters neither.
  for (const double size : {1e-3, 1.0, 30.0}) {
    const Tensor raw = size * Rng(2, "raw").normal({50, family.statistics()}, at::kDouble);
    const Tensor moved = family.updated(a, raw);
    EXPECT_TRUE(family.log_normaliser(moved).isfinite().all().item<bool>()) << size;
    EXPECT_TRUE(family.log_normaliser(family.natural_of_free(raw.clamp(-20, 20))).isfinite().all().item<bool>());
    close(family.updated(a, torch::zeros_like(raw)), a.expand_as(raw), 1e-12, "no update");
    // Variances of coordinates stay variances.
    EXPECT_GE(family.variance(moved).min().item<double>(), -1e-12);
  }
  const Tensor standard = family.standard().unsqueeze(0);
  ASSERT_EQ(standard.size(1), family.statistics());
  EXPECT_TRUE(family.log_normaliser(standard).isfinite().all().item<bool>());

  // Jets, where it has them, against differences.
  const Tensor raw = Rng(3, "raw").normal({4, family.statistics()}, at::kDouble),
               v = Rng(4, "v").normal(raw.sizes(), raw);
  const auto f = [&](double t) { return family.log_normaliser(family.updated(a, raw + t * v)); };
  if (const auto update = family.updated(a, seed_jet(raw, v, 2))) {
    if (const auto jet = family.log_normaliser(*update)) {
      close(jet->derivative(0), f(0), 1e-12, "jet's value");
      close(jet->derivative(1), (f(1e-5) - f(-1e-5)) / 2e-5, 1e-6, "jet's slope");
      close(jet->derivative(2), (f(1e-4) + f(-1e-4) - 2 * f(0)) / 1e-8, 1e-5, "jet's bend");
    }
  }
}

}  // namespace gibbsite
