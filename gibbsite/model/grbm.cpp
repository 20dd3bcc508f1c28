#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/model/grbm.h>
#include <gibbsite/nn/operations.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {
namespace {

constexpr std::int64_t kStates = std::int64_t{1} << 14;  // enumerated at a time

// States of {0, 1}^K by their numbers, whose bit j is h_j: [count] -> [count, K] float64.
Tensor states(const Tensor& number, std::int64_t latent_size) {
  const Tensor bit = torch::ones({}, number.options()).bitwise_left_shift(torch::arange(latent_size, number.options()));
  return number.unsqueeze(1).bitwise_and(bit).ne(0).to(torch::kDouble);
}

}  // namespace

Grbm::Grbm(const GrbmOptions& options, const ModelContext& context)
    : event_(context.event), parameters_(context.init, context.dtype, context.device) {
  const std::int64_t d = event_size(event_), k = options.latent_size;
  if (options.initial == "normal") {
    weight_ = parameters_.normal("weight", {d, k}, options.initial_deviation);
    visible_bias_ = parameters_.normal("visible_bias", {d}, options.initial_deviation);
    latent_bias_ = parameters_.normal("latent_bias", {k}, options.initial_deviation);
  } else {
    weight_ = parameters_.weight("weight", {d, k});
    visible_bias_ = parameters_.bias("visible_bias", d, k);
    latent_bias_ = parameters_.bias("latent_bias", k, k);
  }
  log_deviation_ = options.learn_deviation ? parameters_.constant("log_deviation", {d}, 0)
                                           : torch::zeros({d}, weight_.options().requires_grad(false));
}

template <class T>
T Grbm::half_square(const T& flat) const {
  return total(squared((flat + (-visible_bias_)) * (-log_deviation_).exp())) * 0.5;
}

template <class T>
T Grbm::marginal(const T& v) const {
  const T flat = flattened(v);
  return half_square(flat) - total(act(Activation::kSoftplus, lin(flat, weight_.t(), latent_bias_)));
}

Tensor Grbm::energy(const Tensor& v) const { return marginal(v); }
std::optional<Jet> Grbm::energy(const Jet& v) const { return marginal(v); }

Tensor Grbm::joint(const Tensor& v, const Tensor& h) const {
  return half_square(flattened(v)) - (h * latent_logits(v)).sum(-1);
}

std::optional<Jet> Grbm::joint(const Jet& v, const Tensor& h) const {
  const Jet flat = flattened(v), logits = lin(flat, weight_.t(), latent_bias_);
  const Tensor coupled = (logits.stacked().unsqueeze(1) * h).sum(-1);
  return flat.with((half_square(flat).stacked().unsqueeze(1) - coupled).flatten(0, 1));
}

Tensor Grbm::annealed_energy(const Tensor& v, double beta) const {
  return half_square(flattened(v)) - sum_event(act(Activation::kSoftplus, beta * latent_logits(v)));
}

Tensor Grbm::latent_logits(const Tensor& v) const { return lin(flattened(v), weight_.t(), latent_bias_); }

Tensor Grbm::visible_mean(const Tensor& h) const {
  Shape sizes = event_;
  sizes.insert(sizes.begin(), h.size(0));
  return (visible_bias_ + (2 * log_deviation_).exp() * lin(h, weight_, Tensor())).view(sizes);
}

Tensor Grbm::visible_deviation() const { return log_deviation_.exp().view(event_); }

Tensor Grbm::sample_latent(const Tensor& v, Rng& rng, double beta) const {
  const torch::NoGradGuard no_grad;
  const Tensor probability = (beta * latent_logits(v)).sigmoid();
  return rng.uniform(probability.sizes(), probability).le(probability).to(probability.scalar_type());
}

Tensor Grbm::sample_visible(const Tensor& h, Rng& rng, double beta) const {
  const torch::NoGradGuard no_grad;
  const Tensor mean = visible_mean(beta * h);
  return mean + visible_deviation() * rng.normal(mean.sizes(), mean);
}

Tensor Grbm::base_log_z() const {
  const auto d = static_cast<double>(weight_.size(0)), k = static_cast<double>(latent_size());
  return log_deviation_.to(torch::kDouble).sum() + (0.5 * d * std::log(2 * M_PI) + k * std::log(2));
}

void Grbm::each_state_weight(const std::function<void(const Tensor& log_weights)>& use) const {
  const std::int64_t k = latent_size();
  if (k > kMostEnumerated)
    throw RequestError("grbm", fmt::format("its normaliser is a sum over 2^{} states", k),
                       fmt::format("up to {} latent variables are enumerated; annealed importance sampling goes beyond",
                                   kMostEnumerated));
  // Integrating v out leaves exp(linearᵀh + ½ hᵀ gram h) of every state.
  const Tensor weight = weight_.to(torch::kDouble), variance = (2 * log_deviation_.to(torch::kDouble)).exp();
  const Tensor linear = latent_bias_.to(torch::kDouble) + visible_bias_.to(torch::kDouble).matmul(weight);
  const Tensor gram = weight.t().matmul(variance.unsqueeze(1) * weight);
  const std::int64_t count = std::int64_t{1} << k;
  for (std::int64_t first = 0; first < count; first += kStates) {
    const auto whole = torch::dtype(torch::kLong).device(weight.device());
    const Tensor h = states(torch::arange(first, std::min(first + kStates, count), whole), k);
    use(h.matmul(linear) + 0.5 * (h.matmul(gram) * h).sum(1));
  }
}

Tensor Grbm::log_z() const {
  std::vector<Tensor> sums;
  each_state_weight([&](const Tensor& log_weights) { sums.push_back(log_weights.logsumexp(0)); });
  return base_log_z() - static_cast<double>(latent_size()) * std::log(2) + at::stack(sums).logsumexp(0);
}

Tensor Grbm::sample(std::int64_t n, Rng& rng) const {
  const torch::NoGradGuard no_grad;
  std::vector<Tensor> log_weights;
  each_state_weight([&](const Tensor& some) { log_weights.push_back(some); });
  const Tensor cumulative = at::cat(log_weights).softmax(0).cumsum(0);
  const Tensor u = rng.stream("state").uniform({n}, cumulative) * cumulative[-1];
  const Tensor state = at::searchsorted(cumulative, u).clamp_max(cumulative.size(0) - 1);
  return sample_visible(states(state, latent_size()).to(weight_.scalar_type()), rng);
}

}  // namespace gibbsite
