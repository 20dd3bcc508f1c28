#include <gibbsite/core/error.h>
#include <gibbsite/model/gaussian_latent.h>
#include <gibbsite/nn/operations.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {

GaussianLatent::GaussianLatent(const GaussianLatentOptions& options, const ModelContext& context)
    : event_(context.event), parameters_(context.init, context.dtype, context.device) {
  const std::int64_t d = event_size(event_), k = options.latent_size;
  weight_ = parameters_.normal("weight", {d, k}, options.initial_deviation);
  visible_bias_ = parameters_.normal("visible_bias", {d}, options.initial_deviation);
  latent_bias_ = parameters_.normal("latent_bias", {k}, options.initial_deviation);
  log_deviation_ = parameters_.constant("log_deviation", {}, 0);
}

template <class T>
T GaussianLatent::half_square(const T& flat) const {
  return total(squared((flat + (-visible_bias_)) * (-log_deviation_).exp())) * 0.5;
}

template <class T>
T GaussianLatent::marginal(const T& v) const {
  const T flat = flattened(v);
  const Tensor constant =
      0.5 * latent_bias_.square().sum() - 0.5 * static_cast<double>(latent_size()) * std::log(2 * M_PI);
  return half_square(flat) - total(squared(lin(flat, weight_.t(), latent_bias_))) * 0.5 + constant;
}

Tensor GaussianLatent::energy(const Tensor& v) const { return marginal(v); }
std::optional<Jet> GaussianLatent::energy(const Jet& v) const { return marginal(v); }

Tensor GaussianLatent::joint(const Tensor& v, const Tensor& h) const {
  const Tensor flat = flattened(v);
  return half_square(flat) + 0.5 * (h - latent_bias_).square().sum(-1) - (h * lin(flat, weight_.t(), Tensor())).sum(-1);
}

std::optional<Jet> GaussianLatent::joint(const Jet& v, const Tensor& h) const {
  const Jet flat = flattened(v), field = lin(flat, weight_.t(), Tensor());
  const Tensor coupled = (field.stacked().unsqueeze(1) * h).sum(-1);
  return flat.with((half_square(flat).stacked().unsqueeze(1) - coupled).flatten(0, 1)) +
         0.5 * (h - latent_bias_).square().sum(-1);
}

Tensor GaussianLatent::latent_mean(const Tensor& v) const { return lin(flattened(v), weight_.t(), latent_bias_); }

Tensor GaussianLatent::latent_kl(const Tensor& v, const Tensor& mean, double deviation) const {
  const double each = 0.5 * (deviation * deviation - 1) - std::log(deviation);
  return 0.5 * (mean - latent_mean(v)).square().sum(-1) + each * static_cast<double>(latent_size());
}

Tensor GaussianLatent::latent_fisher(const Tensor& v, const Tensor& mean, double deviation) const {
  const double each = 0.5 * (deviation - 1 / deviation) * (deviation - 1 / deviation);
  return 0.5 * (mean - latent_mean(v)).square().sum(-1) + each * static_cast<double>(latent_size());
}

Tensor GaussianLatent::precision_factor() const {
  const Tensor identity = torch::eye(weight_.size(0), weight_.options().requires_grad(false));
  const auto [factor, failed] =
      at::linalg_cholesky_ex((-2 * log_deviation_).exp() * identity - weight_.matmul(weight_.t()));
  if (failed.item<int>() != 0)
    throw WorkError("gaussian_latent", "I/σ² - W Wᵀ is not positive definite, so that the energy has no law");
  return factor;
}

Tensor GaussianLatent::linear_term() const {
  return (-2 * log_deviation_).exp() * visible_bias_ + weight_.matmul(latent_bias_);
}

Tensor GaussianLatent::marginal_mean() const {
  return at::cholesky_solve(linear_term().unsqueeze(1), precision_factor()).squeeze(1);
}

Tensor GaussianLatent::marginal_covariance() const { return at::cholesky_inverse(precision_factor()); }

Tensor GaussianLatent::log_z() const {
  const Tensor factor = precision_factor(), linear = linear_term();
  const auto sizes = static_cast<double>(weight_.size(0) + latent_size());
  const Tensor quadratic = (linear * at::cholesky_solve(linear.unsqueeze(1), factor).squeeze(1)).sum();
  return 0.5 * quadratic - 0.5 * visible_bias_.square().sum() * (-2 * log_deviation_).exp() -
         factor.diagonal().log().sum() + 0.5 * sizes * std::log(2 * M_PI);
}

}  // namespace gibbsite
