#include <gibbsite/calculus/activation.h>
#include <gibbsite/model/observation.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {

Tensor observation_mean(const ObservationOptions& options, const Tensor& output) {
  if (options.law == "bernoulli" || options.squash == "sigmoid") return activate(Activation::kSigmoid, output);
  return options.squash == "tanh" ? activate(Activation::kTanh, output) : output;
}

Tensor observation_log_prob(const ObservationOptions& options, const Tensor& v, const Tensor& output) {
  const std::int64_t particles = output.size(0), rows = output.size(1);
  const auto over_event = [&](const Tensor& terms) { return terms.reshape({particles, rows, -1}).sum(-1); };
  if (options.law == "bernoulli") {
    const double bound = options.clamp > 0 ? std::log1p(-options.clamp) - std::log(options.clamp) : 0;
    const Tensor logits = bound > 0 ? output.clamp(-bound, bound) : output;
    return over_event(v * logits) - over_event(activate(Activation::kSoftplus, logits));
  }
  const Tensor standard = (v - observation_mean(options, output)) * std::exp(-options.log_deviation);
  const double constant = options.log_deviation + 0.5 * std::log(2 * M_PI);
  return -0.5 * over_event(standard.square()) - constant * static_cast<double>(v[0].numel());
}

}  // namespace gibbsite
