#include <fmt/format.h>
#include <gibbsite/calculus/known_gradient.h>
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
    : event_(context.event),
      parameters_(context.init, context.dtype, context.device),
      learns_deviation_(options.learn_deviation) {
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

Tensor Grbm::energy(const Tensor& v) const {
  if (v.requires_grad() || !at::GradMode::is_enabled()) return marginal(v);
  Tensor value;
  KnownPullback pullback;
  {
    const torch::NoGradGuard no_grad;
    const Tensor logits = latent_logits(v);
    value = -offset(v) - total(act(Activation::kSoftplus, logits));
    pullback = [of_joint = joint_gradients(v), logits](const Tensor& seed) {
      return of_joint(logits.sigmoid() * seed.unsqueeze(1), seed);
    };
  }
  return known_gradient(value, learned(), std::move(pullback));
}

Grbm::JointGradients Grbm::joint_gradients(const Tensor& v) const {
  const Tensor flat = flattened(v), away = flat - visible_bias_, pulled = away * precision();
  return [flat, away, pulled, learns = learns_deviation_](const Tensor& h, const Tensor& weight) {
    const Tensor weighted = pulled * weight.unsqueeze(1);
    std::vector<Tensor> gradients = {flat.t().mm(h).neg_(), weighted.sum(0).neg_(), h.sum(0).neg_()};
    if (learns) gradients.push_back((away * weighted).sum(0).neg_());
    return gradients;
  };
}

std::vector<Tensor> Grbm::learned() const {
  std::vector<Tensor> parameters = {weight_, visible_bias_, latent_bias_};
  if (learns_deviation_) parameters.push_back(log_deviation_);
  return parameters;
}

std::optional<Jet> Grbm::energy(const Jet& v) const { return marginal(v); }

Tensor Grbm::joint(const Tensor& v, const Tensor& h) const {
  if (v.requires_grad() || h.requires_grad() || !at::GradMode::is_enabled())
    return -offset(v) - (h * latent_logits(v)).sum(-1);
  Tensor value;
  KnownPullback pullback;
  {
    const torch::NoGradGuard no_grad;
    value = -offset(v) - (h * latent_logits(v)).sum(-1);
    pullback = [of_joint = joint_gradients(v), h](const Tensor& seed) {
      return of_joint((h * seed.unsqueeze(-1)).sum(0), seed.sum(0));
    };
  }
  return known_gradient(value, learned(), std::move(pullback));
}

std::optional<Jet> Grbm::joint(const Jet& v, const Tensor& h) const {
  const Jet flat = flattened(v), logits = lin(flat, weight_.t(), latent_bias_);
  const Tensor coupled = (logits.stacked().unsqueeze(1) * h).sum(-1);
  return flat.with((half_square(flat).stacked().unsqueeze(1) - coupled).flatten(0, 1));
}

Tensor Grbm::offset(const Tensor& v) const {
  const Tensor away = flattened(v) - visible_bias_;
  return -0.5 * (away * away).matmul(precision());
}

Tensor Grbm::posterior_mean(const Tensor& v) const { return latent_logits(v).sigmoid(); }

Tensor Grbm::posterior_covariance(const Tensor& mean, const Tensor& t) const { return (mean - mean.square()) * t; }

Tensor Grbm::precision() const { return (-2 * log_deviation_).exp(); }

Tensor Grbm::conditional_score(const Tensor& v, const Tensor& h) const {
  const Tensor away = (flattened(v) - visible_bias_) * precision();
  return at::addmm(away, h, weight_.t(), -1).view_as(v);
}

Tensor Grbm::coupled(const Tensor&, const Tensor& z) const { return flattened(z).mm(weight_); }

Tensor Grbm::pullback(const Tensor& v, const Tensor& z, const Tensor& h, const Tensor& u) const {
  Tensor value;
  std::vector<Tensor> gradients;
  {
    const torch::NoGradGuard no_grad;
    const Tensor flat = flattened(v), of_z = flattened(z), sharp = precision();
    const Tensor pulled = (of_z * (flat - visible_bias_) * sharp).sum(0), coupling = of_z.t().mm(h);
    value = (weight_ * coupling).sum() - pulled.sum();
    gradients = {coupling.addmm(flat.t(), u), of_z.sum(0) * sharp, u.sum(0)};
    if (learns_deviation_) gradients.push_back(2 * pulled);
  }
  return known_gradient(value, learned(), std::move(gradients));
}

Tensor Grbm::annealed_energy(const Tensor& v, double beta) const {
  return half_square(flattened(v)) - sum_event(act(Activation::kSoftplus, beta * latent_logits(v)));
}

Tensor Grbm::latent_logits(const Tensor& v) const { return at::addmm(latent_bias_, flattened(v), weight_); }

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
