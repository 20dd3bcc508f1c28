#include <gibbsite/train/clipping.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

// Beyond this many numbers threads pay.
constexpr std::int64_t kSmall = 1 << 20;

bool is_small(const std::vector<Tensor>& gradients) {
  std::int64_t total = 0;
  for (const Tensor& gradient : gradients) {
    if (!gradient.device().is_cpu() || gradient.scalar_type() != gradients[0].scalar_type() ||
        !gradient.is_non_overlapping_and_dense())
      return false;
    total += gradient.numel();
  }
  const at::ScalarType dtype = gradients[0].scalar_type();
  return total <= kSmall && (dtype == at::kFloat || dtype == at::kDouble);
}

double sum_of_squares(const float* x, std::int64_t n) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum;
}

double sum_of_squares(const double* x, std::int64_t n) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < n; ++i) sum += x[i] * x[i];
  return sum;
}

}  // namespace

void ClippingOptions::declare(OptionVisitor& o) {
  o.option("clip_norm", clip_norm, "gradients are scaled down to this global norm; 0: off", non_negative());
  o.option("clip_value", clip_value, "every gradient entry is clamped to this magnitude; 0: off", non_negative());
  o.option("clip_moments", clip_moments,
           "every gradient entry is clamped to this many roots of its mean square as Adam knows it; 0: off",
           non_negative());
  o.only_if(clip_moments > 0).option("clip_moments_floor", clip_moments_floor, "added to that bound", non_negative());
}

Tensor global_norm(const std::vector<Tensor>& gradients) {
  const torch::NoGradGuard no_grad;
  std::vector<Tensor> defined;
  for (const Tensor& gradient : gradients)
    if (gradient.defined()) defined.push_back(gradient);
  if (defined.empty()) return torch::zeros({});
  if (is_small(defined)) {
    double sum = 0;
    for (const Tensor& gradient : defined)
      sum += gradient.scalar_type() == at::kFloat ? sum_of_squares(gradient.data_ptr<float>(), gradient.numel())
                                                  : sum_of_squares(gradient.data_ptr<double>(), gradient.numel());
    return at::scalar_tensor(std::sqrt(sum), defined[0].options());
  }
  std::vector<Tensor> norms = at::_foreach_norm(defined, 2);
  for (Tensor& norm : norms) norm = norm.to(norms[0].device(), norms[0].scalar_type(), true);
  return torch::stack(norms).norm();
}

Tensor clip_gradients(std::vector<Tensor>& gradients, const ClippingOptions& options,
                      const std::vector<Tensor>& second_moments) {
  const torch::NoGradGuard no_grad;
  const Tensor norm = global_norm(gradients);
  const auto replace = [&](auto&& clipped) {
    for (Tensor& gradient : gradients)
      if (gradient.defined()) gradient = clipped(gradient);
  };
  if (options.clip_moments > 0 && !second_moments.empty())
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      if (!gradients[i].defined() || !second_moments[i].defined()) continue;
      const Tensor bound = second_moments[i].sqrt().mul_(options.clip_moments).add_(options.clip_moments_floor);
      gradients[i] = torch::minimum(torch::maximum(gradients[i], -bound), bound);
    }
  if (options.clip_value > 0)
    replace([&](const Tensor& gradient) { return gradient.clamp(-options.clip_value, options.clip_value); });
  if (options.clip_norm > 0) {
    // As a tensor, so that nobody waits for the norm; a norm of zero gives infinity and so 1.
    const Tensor remaining = options.clip_value > 0 || options.clip_moments > 0 ? global_norm(gradients) : norm;
    const Tensor factor = remaining.reciprocal().mul_(options.clip_norm).clamp_max_(1);
    if (factor.device().is_cpu() && factor.item<double>() == 1) return norm;
    replace([&](const Tensor& gradient) { return gradient * factor; });
  }
  return norm;
}

}  // namespace gibbsite
