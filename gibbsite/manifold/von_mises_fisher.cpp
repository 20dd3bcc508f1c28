#include <gibbsite/core/error.h>
#include <gibbsite/manifold/sphere.h>
#include <gibbsite/manifold/von_mises_fisher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include <boost/math/special_functions/bessel.hpp>
#include <cmath>

namespace gibbsite {
namespace {

// Where Hankel's expansion of I_ν is exact to rounding: its terms fall until there is nothing left of them.
bool far(double order, double x) { return x > 50 + 2 * order * order; }

// √(2πx) e^-x I_ν(x) far from 0.
double hankel(double order, double x) {
  double sum = 1, term = 1;
  for (int k = 1; k < 200; ++k) {
    const double odd = 2 * k - 1;
    term *= -(4 * order * order - odd * odd) / (8 * k * x);
    sum += term;
    if (std::abs(term) < 1e-17 * std::abs(sum)) break;
  }
  return sum;
}

// log I_ν(x) for ν and x both large, by Debye's expansion.
double debye(double order, double x) {
  const double z = x / order, root = std::sqrt(1 + z * z), p = 1 / root, s = p * p;
  const double u1 = p * (3 - 5 * s) / 24;
  const double u2 = s * (81 - 462 * s + 385 * s * s) / 1152;
  const double u3 = p * s * (30375 - 369603 * s + 765765 * s * s - 425425 * s * s * s) / 414720;
  const double exponent = order * (root + std::log(z / (1 + root)));
  return exponent - 0.5 * std::log(2 * M_PI * order * root) +
         std::log1p(u1 / order + u2 / (order * order) + u3 / (order * order * order));
}

// log(I_ν(x) / x^ν), finite at 0.
double log_bessel_over_power(double order, double x) {
  if (x < 1e-3) {
    const double quarter = x * x / 4;
    return -order * std::log(2.0) - std::lgamma(order + 1) +
           std::log1p(quarter / (order + 1) + quarter * quarter / (2 * (order + 1) * (order + 2)));
  }
  return log_bessel_i(order, x) - order * std::log(x);
}

template <class F>
Tensor map(const Tensor& kappa, F f) {
  const Tensor in = kappa.detach().to(torch::kCPU, torch::kDouble).contiguous();
  Tensor out = torch::empty_like(in);
  const double* from = in.data_ptr<double>();
  double* to = out.data_ptr<double>();
  for (std::int64_t i = 0; i < in.numel(); ++i) to[i] = f(from[i]);
  return out.to(kappa.options());
}

struct MeanLength : torch::autograd::Function<MeanLength> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& kappa, std::int64_t m) {
    context->save_for_backward({kappa});
    context->saved_data["m"] = m;
    const double order = 0.5 * static_cast<double>(m) - 1;
    return map(kappa, [&](double x) { return bessel_i_ratio(order, x); });
  }
  // A' = 1 - A² - (m - 1) A/κ.
  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext* context,
                                               torch::autograd::tensor_list gradients) {
    const Tensor kappa = context->get_saved_variables()[0];
    const std::int64_t m = context->saved_data["m"].toInt();
    const auto size = static_cast<double>(m);
    const Tensor length = apply(kappa, m), near = kappa < 1e-3;
    const Tensor per_kappa = torch::where(near, 1 / size - kappa.square() / (size * size * (size + 2)),
                                          length / torch::where(near, torch::ones_like(kappa), kappa));
    return {gradients[0] * (1 - length.square() - (size - 1) * per_kappa), Tensor()};
  }
};

struct LogNormaliser : torch::autograd::Function<LogNormaliser> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& kappa, std::int64_t m) {
    context->save_for_backward({kappa});
    context->saved_data["m"] = m;
    const double half = 0.5 * static_cast<double>(m);
    return map(kappa, [&](double x) { return -half * std::log(2 * M_PI) - log_bessel_over_power(half - 1, x); });
  }
  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext* context,
                                               torch::autograd::tensor_list gradients) {
    const Tensor kappa = context->get_saved_variables()[0];
    return {-gradients[0] * MeanLength::apply(kappa, context->saved_data["m"].toInt()), Tensor()};
  }
};

// ⟨mean, x⟩, [B], by rejection from a transformed Beta law; every round draws for all rows, so that a row's numbers do not
// depend on the others.
Tensor rejected_heights(const Tensor& kappa, std::int64_t m, Rng& rng) {
  const auto free = static_cast<double>(m - 1);
  const Tensor root = (4 * kappa.square() + free * free).sqrt();
  const Tensor b = free / (root + 2 * kappa), a = (free + 2 * kappa + root) / 4;
  const Tensor d = (4 * a * b / (1 + b) - free * std::log(free)).detach();
  Tensor beta = torch::zeros_like(kappa).detach(), waiting = torch::ones_like(beta, torch::kBool);
  for (int round = 0; waiting.any().item<bool>(); ++round) {
    if (round == 1000) throw WorkError("von Mises–Fisher", "a concentration is not a number");
    // A coordinate of a uniform unit vector, moved to [0, 1], is Beta((m - 1)/2, (m - 1)/2).
    const Tensor direction = directions(rng.normal({kappa.size(0), m}, beta)), u = rng.uniform({kappa.size(0)}, beta);
    const Tensor e = 0.5 * (1 + direction.select(1, 0));
    const Tensor t = (2 * a * b / (1 - (1 - b) * e)).detach();
    const Tensor accepted = waiting.logical_and(free * t.log() - t + d >= u.log());
    beta = torch::where(accepted, e, beta);
    waiting = waiting.logical_and(accepted.logical_not());
  }
  return (1 - (1 + b) * beta) / (1 - (1 - b) * beta);
}

}  // namespace

double log_bessel_i(double order, double x) {
  if (far(order, x)) return x - 0.5 * std::log(2 * M_PI * x) + std::log(hankel(order, x));
  if (x > 1e4) return debye(order, x);
  return static_cast<double>(
      std::log(boost::math::cyl_bessel_i(static_cast<long double>(order), static_cast<long double>(x))));
}

double bessel_i_ratio(double order, double x) {
  if (x <= 0) return 0;
  if (far(order + 1, x)) return hankel(order + 1, x) / hankel(order, x);
  // Gauss's continued fraction, from the far end; what is left out decays once the terms pass x.
  const auto terms = static_cast<std::int64_t>(x + 20 * std::sqrt(x) + 40);
  double ratio = 0;
  for (std::int64_t k = terms; k >= 1; --k) ratio = 1 / (2 * (order + static_cast<double>(k)) / x + ratio);
  return ratio;
}

Tensor vmf_log_normaliser(const Tensor& kappa, std::int64_t m) { return LogNormaliser::apply(kappa, m); }

Tensor vmf_mean_length(const Tensor& kappa, std::int64_t m) { return MeanLength::apply(kappa, m); }

Tensor vmf_kl_uniform(const Tensor& kappa, std::int64_t m) {
  const Tensor wide = kappa.to(torch::kDouble);
  return (wide * vmf_mean_length(wide, m) + vmf_log_normaliser(wide, m) + log_sphere_area(m)).to(kappa.scalar_type());
}

Tensor vmf_log_density(const Tensor& x, const Tensor& mean, const Tensor& kappa) {
  return kappa * (x * mean).sum(1) + vmf_log_normaliser(kappa, x.size(1));
}

Tensor vmf_sample(const Tensor& mean, const Tensor& kappa, Rng& rng) {
  const std::int64_t rows = mean.size(0), m = mean.size(1);
  const Tensor wide = kappa.to(torch::kDouble);
  // Rejection comes last, because how far it moves the generator on depends on all rows.
  const Tensor across = directions(rng.normal({rows, m - 1}, wide.detach()));
  Tensor height;
  if (m == 3) {
    const Tensor u = rng.uniform({rows}, wide.detach());
    height = 1 + torch::log1p((1 - u) * torch::expm1(-2 * wide)) / wide;
  } else {
    height = rejected_heights(wide, m, rng);
  }
  height = height.clamp(-1, 1);
  // Across the first axis a uniform direction; then the reflection that takes this axis to the mean.
  const Tensor radius = ((1 - height) * (1 + height)).clamp_min(1e-300).sqrt().unsqueeze(1);
  const Tensor z = torch::cat({height.unsqueeze(1), radius * across}, 1);
  const Tensor to = mean.to(torch::kDouble), first = to.narrow(1, 0, 1);
  // With the sign that avoids a difference of nearly equal vectors the axis goes to minus the mean, hence the second sign.
  const Tensor sign = torch::where(first < 0, -torch::ones_like(first), torch::ones_like(first)).detach();
  const Tensor w = torch::cat({first + sign, to.narrow(1, 1, m - 1)}, 1);
  const Tensor reflected = z - w * ((w * z).sum(1, true) / (1 + first.abs()));
  return (-sign * reflected).to(mean.scalar_type());
}

}  // namespace gibbsite
