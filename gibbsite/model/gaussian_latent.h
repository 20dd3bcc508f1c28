// The latent-variable energy with everything known (VaGES, Figure 1 (b); protocol sheet 3.2):
//
//   E(v, h) = ‖v - b‖²/(2 σ²) + ½ ‖h - c‖² - vᵀW h
//
// h given v is N(c + Wᵀv, I), and with Λ = I/σ² - W Wᵀ the marginal is N(Λ⁻¹(b/σ² + W c), Λ⁻¹), a law only where Λ is
// positive definite. As an Energy it is the marginal's, F(v) = ‖v - b‖²/(2 σ²) - ½ ‖c + Wᵀv‖² + ½ ‖c‖² - (K/2) log 2π.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/model/energy.h>
#include <gibbsite/model/latent_energy.h>
#include <gibbsite/nn/parameters.h>

namespace gibbsite {

struct GaussianLatentOptions {
  std::int64_t latent_size = 4;
  double initial_deviation = 0.1;
  void declare(OptionVisitor& o) {
    o.option("latent_size", latent_size, "latent variables K", at_least(1));
    o.option("initial_deviation", initial_deviation, "standard deviation of the first W, b and c", non_negative());
  }
};

/// Parameters: weight W [d, K], visible_bias b [d], latent_bias c [K], log_deviation log σ, 0-dim and first 0.
class GaussianLatent : public Energy, public LatentModel {
 public:
  GaussianLatent(const GaussianLatentOptions& options, const ModelContext& context);

  /// F(v).
  Tensor energy(const Tensor& v) const override;
  std::optional<Jet> energy(const Jet& v) const override;
  bool has_jet() const override { return true; }
  Tensor joint(const Tensor& v, const Tensor& h) const override;
  std::optional<Jet> joint(const Jet& v, const Tensor& h) const override;
  torch::nn::Module& module() override { return parameters_.module(); }
  Shape event() const override { return event_; }
  std::int64_t latent_size() const override { return weight_.size(1); }

  /// E[h | v] = c + Wᵀv: [B, K]. The covariance is I.
  Tensor latent_mean(const Tensor& v) const;
  /// Divergences of N(mean, deviation² I) from p(h | v), mean [B, K], deviation a positive number: [B].
  Tensor latent_kl(const Tensor& v, const Tensor& mean, double deviation) const;
  /// ½ E_q ‖∇ log q - ∇ log p‖².
  Tensor latent_fisher(const Tensor& v, const Tensor& mean, double deviation) const;

  /// Λ⁻¹(b/σ² + W c), [d], and Λ⁻¹, [d, d]; these and log_z throw WorkError where Λ is not positive definite.
  Tensor marginal_mean() const;
  Tensor marginal_covariance() const;
  /// log ∫ exp(-F), 0-dim.
  Tensor log_z() const;

 private:
  Shape event_;
  Parameters parameters_;
  Tensor weight_, visible_bias_, latent_bias_, log_deviation_;

  template <class T>
  T half_square(const T& flat) const;
  template <class T>
  T marginal(const T& v) const;
  Tensor precision_factor() const;
  Tensor linear_term() const;
};

}  // namespace gibbsite
