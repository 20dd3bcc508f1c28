#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/manifold/vmf_family.h>
#include <gibbsite/model/conjugate_energy.h>
#include <gibbsite/model/network_energy.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

std::shared_ptr<const ExponentialFamily> make_family(const std::string& name, std::int64_t size) {
  if (name == "bernoulli") return make_bernoulli_family(size);
  if (name == "categorical") return make_categorical_family(size);
  if (name == "dirichlet") return make_dirichlet_family(size);
  if (name == "von_mises_fisher") return make_von_mises_fisher_family(size);
  return make_gaussian_family(size);
}

std::vector<LayerNote> notes(const FeatureNetOptions& options) {
  std::vector<LayerNote> layers;
  for (const std::string& kind : feature_layers(options))
    layers.push_back({fmt::format("activation{}", layers.size() + 1), kind});
  return layers;
}

class NetworkConjugate : public ConjugateEnergy {
 public:
  NetworkConjugate(std::shared_ptr<const ExponentialFamily> family, const ConjugateEnergyOptions& options,
                   Parameters parameters, FeatureNet body, const Shape& event)
      : ConjugateEnergy(std::move(family), options, std::move(parameters), event),
        body_(std::move(body)),
        layers_(notes(options)) {}
  Tensor raw_statistics(const Tensor& x) const override { return body_.forward(x); }
  std::optional<Jet> raw_statistics(const Jet& x) const override { return body_.forward(x); }
  std::vector<LayerNote> layers() const override { return layers_; }

 private:
  FeatureNet body_;
  std::vector<LayerNote> layers_;
};

struct Scalar {
  FeatureNet body;
  template <class T>
  T forward(const T& x) const {
    return column(body.forward(x));
  }
};

class NetworkFeatures : public NetworkEnergy<Scalar, FeatureEnergy> {
 public:
  using NetworkEnergy::NetworkEnergy;
  Tensor features(const Tensor& x) const override { return network().body.last_hidden(x); }
};

}  // namespace

ConjugateEnergy::ConjugateEnergy(std::shared_ptr<const ExponentialFamily> family, const BiasOptions& options,
                                 Parameters parameters, Shape event)
    : family_(std::move(family)), options_(options), parameters_(std::move(parameters)), event_(std::move(event)) {
  const std::int64_t s = family_->statistics(), k = family_->size();
  // Free parameters of zero are the standard member; those of Gaussian components differ in their means alone.
  const double spread = options.components > 1 ? options.spread : 0;
  free_ = options.learn_bias ? parameters_.normal("bias", {options.components, s}, spread)
                             : parameters_.fixed_normal("bias", {options.components, s}, spread);
  const torch::NoGradGuard no_grad;
  if (s > k) free_.narrow(1, k, s - k).zero_();
}

std::optional<Jet> ConjugateEnergy::raw_statistics(const Jet&) const { return std::nullopt; }

Tensor ConjugateEnergy::bias() const {
  const std::int64_t k = family_->size();
  if (!options_.learn_bias || free_.size(1) == k) return family_->natural_of_free(free_);
  const Tensor deviations = free_.narrow(1, k, free_.size(1) - k).clamp_min(options_.least_log_deviation);
  return family_->natural_of_free(at::cat({free_.narrow(1, 0, k), deviations}, 1));
}

Tensor ConjugateEnergy::posterior_parameters(const Tensor& x) const {
  return family_->updated(bias(), raw_statistics(x).unsqueeze(1));
}

Tensor ConjugateEnergy::evidence(const Tensor& posterior) const {
  return family_->log_normaliser(posterior) - family_->log_normaliser(bias());
}

Tensor ConjugateEnergy::energy(const Tensor& x) const {
  const Tensor a = evidence(posterior_parameters(x));
  if (components() == 1) return -a.squeeze(1);
  return std::log(static_cast<double>(components())) - a.logsumexp(1);
}

std::optional<Jet> ConjugateEnergy::energy(const Jet& x) const {
  const std::optional<Jet> raw = raw_statistics(x);
  if (!raw) return std::nullopt;
  const Tensor lambda = bias(), at_bias = family_->log_normaliser(lambda);
  std::vector<Tensor> columns;
  for (std::int64_t l = 0; l < components(); ++l) {
    const std::optional<Jet> updated = family_->updated(lambda[l], *raw);
    const std::optional<Jet> b = updated ? family_->log_normaliser(*updated) : std::nullopt;
    if (!b) return std::nullopt;
    columns.push_back((*b + (-at_bias[l])).c);
  }
  if (components() == 1) return raw->with(-columns[0]);
  const Jet all = raw->with(at::stack(columns, 1));
  return -logsumexp(all, 1) + std::log(static_cast<double>(components()));
}

bool ConjugateEnergy::has_jet() const {
  const Tensor one = torch::zeros({1, family_->statistics()}, free_.options().requires_grad(false));
  const auto updated = family_->updated(one[0], seed_jet(one, one, 1));
  if (!updated || !family_->log_normaliser(*updated)) return false;
  Shape sizes = event_;
  sizes.insert(sizes.begin(), 1);
  const torch::NoGradGuard no_grad;
  const Tensor x = torch::zeros(sizes, one.options());
  return raw_statistics(seed_jet(x, x, 1)).has_value();
}

Tensor ConjugateEnergy::responsibilities(const Tensor& x) const { return evidence(posterior_parameters(x)).softmax(1); }

Tensor ConjugateEnergy::log_mixture(const Tensor& posterior, const Tensor& z) const {
  // [P, B, L]
  const Tensor each = log_density(*family_, z.unsqueeze(2), posterior);
  if (components() == 1) return each.squeeze(2);
  return (each + evidence(posterior).log_softmax(1)).logsumexp(2);
}

Tensor ConjugateEnergy::log_posterior(const Tensor& x, const Tensor& z) const {
  return log_mixture(posterior_parameters(x), z);
}

Tensor ConjugateEnergy::log_bias(const Tensor& z) const {
  return log_density(*family_, z.unsqueeze(-2), bias()).logsumexp(-1) - std::log(static_cast<double>(components()));
}

Tensor ConjugateEnergy::joint(const Tensor& x, const Tensor& z) const { return given(x)(z); }

// log L - log Σ_l exp(⟨λ_l + t(x), η(z)⟩ - B(λ_l)) - log h(z), which takes no B of what moves with x.
std::optional<Jet> ConjugateEnergy::joint(const Jet& x, const Tensor& z) const {
  const std::optional<Jet> raw = raw_statistics(x);
  if (!raw) return std::nullopt;
  const Tensor lambda = bias(), at_bias = family_->log_normaliser(lambda), eta = family_->statistic(z);
  std::vector<Tensor> columns;
  for (std::int64_t l = 0; l < components(); ++l) {
    const std::optional<Jet> updated = family_->updated(lambda[l], *raw);
    if (!updated) return std::nullopt;
    const Tensor agreement = (updated->stacked().unsqueeze(1) * eta).sum(-1).flatten(0, 1);
    columns.push_back((raw->with(agreement) + (-at_bias[l])).c);
  }
  const Jet sum = components() == 1 ? raw->with(columns[0]) : logsumexp(raw->with(at::stack(columns, 2)), 2);
  return -sum + (std::log(static_cast<double>(components())) - family_->log_base(z));
}

std::function<Tensor(const Tensor& z)> ConjugateEnergy::given(const Tensor& x) const {
  const Tensor posterior = posterior_parameters(x), a = evidence(posterior);
  const Tensor marginal = std::log(static_cast<double>(components())) - a.logsumexp(1);
  return [this, posterior, marginal](const Tensor& z) { return marginal - log_mixture(posterior, z); };
}

ConjugateEnergy::Moments ConjugateEnergy::posterior_moments(const Tensor& x) const {
  const Tensor posterior = posterior_parameters(x), share = evidence(posterior).softmax(1).unsqueeze(2);
  const Tensor means = family_->mean(posterior), mean = (share * means).sum(1, true);
  const Tensor variance = (share * (family_->variance(posterior) + (means - mean).square())).sum(1);
  return {mean.squeeze(1), variance};
}

void ConjugateEnergy::require_single(const char* what) const {
  if (components() > 1) throw RequestError("model.components", fmt::format("{} of a mixture has no formula", what));
}

Tensor ConjugateEnergy::posterior_entropy(const Tensor& x) const {
  require_single("the entropy");
  return entropy(*family_, posterior_parameters(x).squeeze(1));
}

Tensor ConjugateEnergy::divergence_from_bias(const Tensor& x) const {
  require_single("the divergence");
  return kullback_leibler(*family_, posterior_parameters(x).squeeze(1), bias());
}

Tensor ConjugateEnergy::sample_posterior(const Tensor& x, std::int64_t particles, Rng& rng) const {
  const torch::NoGradGuard no_grad;
  const Tensor posterior = posterior_parameters(x), below = evidence(posterior).softmax(1).cumsum(1);
  const std::int64_t s = posterior.size(2);
  std::vector<Tensor> draws;
  for (std::int64_t p = 0; p < particles; ++p) {
    Rng own = rng.fork();
    const Tensor u = own.uniform({x.size(0), 1}, below);
    const Tensor chosen = (u > below).sum(1, true).clamp_max(components() - 1);
    draws.push_back(family_->sample(posterior.gather(1, chosen.unsqueeze(2).expand({-1, 1, s})).squeeze(1), own));
  }
  return at::stack(draws);
}

Tensor ConjugateEnergy::representative_parameters(const Tensor& x) const {
  const Tensor posterior = posterior_parameters(x);
  if (components() == 1) return posterior.squeeze(1);
  const Tensor chosen = evidence(posterior).argmax(1).view({-1, 1, 1});
  return posterior.gather(1, chosen.expand({-1, 1, posterior.size(2)})).squeeze(1);
}

Tensor ConjugateEnergy::representation(const Tensor& x) const { return family_->mean(representative_parameters(x)); }

std::unique_ptr<ConjugateEnergy> make_conjugate_energy(const ConjugateEnergyOptions& options,
                                                       const ModelContext& context) {
  if (options.family == "von_mises_fisher" && options.latent_size < 2)
    throw RequestError("model.latent_size", "a sphere needs two coordinates or more");
  if (options.family == "dirichlet" && options.latent_size < 2)
    throw RequestError("model.latent_size", "shares of a whole need two parts or more");
  std::shared_ptr<const ExponentialFamily> family = make_family(options.family, options.latent_size);
  Parameters parameters(context.init, context.dtype, context.device);
  FeatureNet body(parameters, "statistics", options, context.event, family->statistics());
  return std::make_unique<NetworkConjugate>(family, options, parameters, std::move(body), context.event);
}

std::unique_ptr<Energy> make_feature_energy(const FeatureEnergyOptions& options, const ModelContext& context) {
  Parameters parameters(context.init, context.dtype, context.device);
  FeatureNet body(parameters, "body", options, context.event, 1);
  NetworkOptions network;
  network.activation = options.activation;
  network.operations = options.operations;
  return std::make_unique<NetworkFeatures>(context, network, parameters, Scalar{std::move(body)}, notes(options));
}

}  // namespace gibbsite
