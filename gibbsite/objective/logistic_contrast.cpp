#include <gibbsite/objective/logistic_contrast.h>
#include <gibbsite/objective/support.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

constexpr int kNewtonSteps = 100;

}  // namespace

Loss LogisticContrast::loss(const Tensor& of_data, const Tensor& of_noise) const {
  double c = 0;
  if (options_.normaliser == "profile") c = best_constant(of_data.detach(), of_noise.detach());
  if (options_.normaliser == "learned") c = learned_constant(of_data.detach(), of_noise.detach());
  const Tensor loss =
      at::softplus(c - of_data).mean() + static_cast<double>(options_.ratio) * at::softplus(of_noise - c).mean();
  return plain_loss(loss, {{"log_normaliser", torch::full({}, c, loss.options().requires_grad(false))}});
}

double LogisticContrast::learned_constant(const Tensor& data, const Tensor& noise) const {
  if (learned_.empty()) learned_ = {{"normaliser", torch::zeros({4}, at::kDouble)}};
  const double beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8;
  const Tensor next = learned_[0].second.clone();
  double* s = next.data_ptr<double>();
  const double c = s[0];
  const double slope = at::sigmoid(c - data).mean().item<double>() -
                       static_cast<double>(options_.ratio) * at::sigmoid(noise - c).mean().item<double>();
  s[1] = beta1 * s[1] + (1 - beta1) * slope;
  s[2] = beta2 * s[2] + (1 - beta2) * slope * slope;
  s[3] += 1;
  s[0] -= options_.normaliser_rate * s[1] / (1 - std::pow(beta1, s[3])) /
          (std::sqrt(s[2] / (1 - std::pow(beta2, s[3]))) + epsilon);
  learned_[0].second = next;
  return c;
}

// The c that minimises mean softplus(data + c) + ratio mean softplus(contrast - c), convex in c: Newton's method, with
// halving of the bracket where it would leave it.
double LogisticContrast::best_constant(const Tensor& data, const Tensor& noise) const {
  const Tensor a = -data.to(at::kCPU, at::kDouble), b = noise.to(at::kCPU, at::kDouble);
  const auto ratio = static_cast<double>(options_.ratio);
  const double reach = 40 + std::log(ratio);
  double low = std::min(-a.max().item<double>(), b.min().item<double>()) - reach;
  double high = std::max(-a.min().item<double>(), b.max().item<double>()) + reach;
  double c = 0.5 * (b.mean().item<double>() - a.mean().item<double>());
  for (int i = 0; i < kNewtonSteps; ++i) {
    const Tensor p = at::sigmoid(a + c), q = at::sigmoid(b - c);
    const double slope = p.mean().item<double>() - ratio * q.mean().item<double>();
    const double curvature = (p * (1 - p)).mean().item<double>() + ratio * (q * (1 - q)).mean().item<double>();
    (slope > 0 ? high : low) = c;
    double next = curvature > 0 ? c - slope / curvature : high;
    if (!(next > low && next < high)) next = 0.5 * (low + high);
    if (std::abs(next - c) <= 1e-14 * (1 + std::abs(c))) return next;
    c = next;
  }
  return c;
}

}  // namespace gibbsite
