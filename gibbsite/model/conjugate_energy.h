// Conjugate energy-based models: with a bias p_λ(z) of an exponential family and the output t(x) of a network, a natural
// parameter like λ (Wu et al. 2021, Eqs. 14 to 17; protocol sheet of CEBM, section 1),
//
//   E(x, z) = -⟨t(x) + λ, η(z)⟩ + B(λ) - log h(z)
//   E(x)    = B(λ) - B(λ + t(x))
//   p(z | x) = the member of the same family with λ + t(x)
//
// so that marginal and posterior are known though the normaliser of p(x) is not. A mixture of L biases in equal shares has
// E(x) = log L - log Σ_l exp A_l(x), A_l = B(λ_l + t(x)) - B(λ_l), and r_l = softmax_l A_l.
#pragma once

#include <gibbsite/calculus/exponential_family.h>
#include <gibbsite/model/latent_energy.h>
#include <gibbsite/nn/feature_net.h>

namespace gibbsite {

struct BiasOptions {
  std::int64_t components = 1;
  bool learn_bias = false;
  double spread = 1;
  double least_log_deviation = -3;
  void declare(OptionVisitor& o) {
    o.option("components", components, "L, biases in equal shares", at_least(1));
    o.option("learn_bias", learn_bias, "train the parameters of the biases");
    o.only_if(components > 1)
        .option("spread", spread, "deviation of their first free parameters (Gaussian: means)", non_negative());
    o.only_if(learn_bias)
        .option("least_log_deviation", least_log_deviation, "floor of the log deviations of Gaussian biases");
  }
};

/// A network of one's own in it is a class with the two forms of raw_statistics; what it gives cannot leave the family
/// (ExponentialFamily::updated).
class ConjugateEnergy : public Energy, public LatentModel {
 public:
  /// The first bias is the family's standard one. `parameters` are those of the network too.
  ConjugateEnergy(std::shared_ptr<const ExponentialFamily> family, const BiasOptions& options, Parameters parameters,
                  Shape event);

  /// Any real numbers, [B, *event] -> [B, S].
  virtual Tensor raw_statistics(const Tensor& x) const = 0;
  /// The same in Taylor mode, slices [B, S], where the network supports it.
  virtual std::optional<Jet> raw_statistics(const Jet& x) const;

  Tensor energy(const Tensor& x) const override;
  std::optional<Jet> energy(const Jet& x) const override;
  bool has_jet() const override;
  Tensor joint(const Tensor& x, const Tensor& z) const override;
  std::optional<Jet> joint(const Jet& x, const Tensor& z) const override;
  std::function<Tensor(const Tensor& z)> given(const Tensor& x) const override;
  bool discrete() const override { return family_->discrete(); }
  torch::nn::Module& module() override { return parameters_.module(); }
  Shape event() const override { return event_; }
  std::int64_t latent_size() const override { return family_->size(); }

  const ExponentialFamily& family() const { return *family_; }
  std::int64_t components() const { return options_.components; }
  /// λ of every component, [L, S].
  Tensor bias() const;
  /// λ_l + t(x): [B, L, S].
  Tensor posterior_parameters(const Tensor& x) const;
  /// r_l(x): [B, L].
  Tensor responsibilities(const Tensor& x) const;
  /// log p(z | x): z [P, B, K] -> [P, B].
  Tensor log_posterior(const Tensor& x, const Tensor& z) const;
  /// log p_λ(z), of the mixture: z [..., K] -> [...].
  Tensor log_bias(const Tensor& z) const;
  struct Moments {
    Tensor mean, variance;  ///< [B, K]
  };
  /// Of p(z | x), by one pass of the network.
  Moments posterior_moments(const Tensor& x) const;
  Tensor posterior_mean(const Tensor& x) const { return posterior_moments(x).mean; }
  Tensor posterior_variance(const Tensor& x) const { return posterior_moments(x).variance; }
  /// [B]; RequestError for a mixture, which has no formula.
  Tensor posterior_entropy(const Tensor& x) const;
  /// KL(p(z | x) ‖ p_λ), [B]; RequestError for a mixture.
  Tensor divergence_from_bias(const Tensor& x) const;
  /// Draws, [particles, B, K], without graph.
  Tensor sample_posterior(const Tensor& x, std::int64_t particles, Rng& rng) const;
  /// Natural parameters of the component with the largest share: [B, S].
  Tensor representative_parameters(const Tensor& x) const;
  /// Its mean, what the paper classifies by: [B, K].
  Tensor representation(const Tensor& x) const;

 private:
  std::shared_ptr<const ExponentialFamily> family_;
  BiasOptions options_;
  Parameters parameters_;
  Shape event_;
  Tensor free_;  // [L, S]

  // A_l from λ_l + t: [B, L].
  Tensor evidence(const Tensor& posterior) const;
  Tensor log_mixture(const Tensor& posterior, const Tensor& z) const;
  void require_single(const char* what) const;
};

struct ConjugateEnergyOptions : BiasOptions, FeatureNetOptions {
  std::string family = "gaussian";
  std::int64_t latent_size = 128;
  void declare(OptionVisitor& o) {
    o.option("family", family, "exponential family of the bias",
             {"gaussian", "bernoulli", "categorical", "dirichlet", "von_mises_fisher"});
    o.option("latent_size", latent_size, "K, numbers of z", at_least(1));
    BiasOptions::declare(o);
    FeatureNetOptions::declare(o);
  }
};

std::unique_ptr<ConjugateEnergy> make_conjugate_energy(const ConjugateEnergyOptions& options,
                                                       const ModelContext& context);

/// An unconstrained network of the same kind, E(x) its only output: the energy of IGEBM.
class FeatureEnergy : public Energy {
 public:
  /// What the activation of the last hidden layer is applied to, the representation it is compared by (protocol sheet of CEBM,
  /// section 4.3): [B, *event] -> [B, width].
  virtual Tensor features(const Tensor& x) const = 0;
};

struct FeatureEnergyOptions : FeatureNetOptions {
  std::string operations = "fast";
  FeatureEnergyOptions() { hidden = {256, 128}; }
  void declare(OptionVisitor& o) {
    FeatureNetOptions::declare(o);
    o.option("operations", operations, "gibbsite's fast operations, or LibTorch's own as a baseline",
             {"fast", "stock"});
  }
};
/// Makes a FeatureEnergy.
std::unique_ptr<Energy> make_feature_energy(const FeatureEnergyOptions& options, const ModelContext& context);

}  // namespace gibbsite
