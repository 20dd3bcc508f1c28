#include <gibbsite/calculus/activation.h>
#include <gibbsite/model/observation.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

bool learned(const ObservationOptions& options) { return options.law == "gaussian" && options.deviation == "network"; }

Tensor log_deviation(const ObservationOptions& options, const Tensor& output) {
  return output.select(1, 1).clamp(options.log_deviation_low, options.log_deviation_high);
}

}  // namespace

std::int64_t observation_outputs(const ObservationOptions& options) { return learned(options) ? 2 : 1; }

Tensor observation_mean(const ObservationOptions& options, const Tensor& output) {
  const Tensor raw = output.select(1, 0);
  if (options.law == "bernoulli") return activate(Activation::kSigmoid, raw.contiguous());
  Tensor mean = raw;
  if (options.squash == "sigmoid") mean = activate(Activation::kSigmoid, raw.contiguous());
  if (options.squash == "tanh") mean = activate(Activation::kTanh, raw.contiguous());
  return options.stretch == 1 ? mean : mean * options.stretch;
}

Tensor observation_deviation(const ObservationOptions& options, const Tensor& output) {
  if (learned(options)) return log_deviation(options, output).exp();
  return torch::full({}, std::exp(options.log_deviation), output.options());
}

Tensor observation_log_prob(const ObservationOptions& options, const Tensor& v, const Tensor& output) {
  const std::int64_t rows = v.size(0), particles = output.size(0) / rows;
  const auto over_event = [&](const Tensor& terms) { return terms.reshape({particles, rows, -1}).sum(-1); };
  Shape sizes = v.sizes().vec();
  sizes.insert(sizes.begin(), particles);
  if (options.law == "bernoulli") {
    const double bound = options.clamp > 0 ? std::log1p(-options.clamp) - std::log(options.clamp) : 0;
    const Tensor raw = output.select(1, 0).view(sizes), logits = bound > 0 ? raw.clamp(-bound, bound) : raw;
    return over_event(v * logits) - over_event(activate(Activation::kSoftplus, logits));
  }
  const Tensor residual = v - observation_mean(options, output).view(sizes);
  const double half_log_two_pi = 0.5 * std::log(2 * M_PI);
  if (learned(options)) {
    const Tensor log_sigma = log_deviation(options, output).view(sizes);
    return -over_event(0.5 * (residual * (-log_sigma).exp()).square() + log_sigma) -
           half_log_two_pi * static_cast<double>(v[0].numel());
  }
  const double constant = options.log_deviation + half_log_two_pi;
  return -0.5 * over_event((residual * std::exp(-options.log_deviation)).square()) -
         constant * static_cast<double>(v[0].numel());
}

}  // namespace gibbsite
