// Gaussian-Bernoulli restricted Boltzmann machine (VaGES, Eq. 15; protocol sheet 3.1):
//
//   E(v, h) = ½ Σ_i (v_i - b_i)²/σ_i² - cᵀh - vᵀW h,   h in {0, 1}^K
//
// Given v the h_j are independent, given h so are the v_i, and h sums out:
//
//   F(v) = ½ Σ_i (v_i - b_i)²/σ_i² - Σ_j softplus(c_j + (Wᵀv)_j)
//
// As an Energy it is F, as a latent energy E. β scales W and c, which makes the path of annealed importance sampling whose
// start β = 0 has independent coordinates.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/model/affine_latent.h>
#include <gibbsite/model/energy.h>
#include <gibbsite/nn/parameters.h>

#include <functional>

namespace gibbsite {

struct GrbmOptions {
  std::int64_t latent_size = 4;
  bool learn_deviation = true;
  std::string initial = "uniform";
  double initial_deviation = 0.1;
  void declare(OptionVisitor& o) {
    o.option("latent_size", latent_size, "binary latent variables K", at_least(1));
    o.option("learn_deviation", learn_deviation, "train σ, one per coordinate, from 1; else it stays 1");
    o.option("initial", initial, "first values of W, b and c: uniform in ±1/√K, or normal", {"uniform", "normal"});
    o.only_if(initial == "normal")
        .option("initial_deviation", initial_deviation, "standard deviation of the first values", non_negative());
  }
};

/// Parameters: weight W [d, K], visible_bias b [d], latent_bias c [K] and, where it is trained, log_deviation log σ [d].
class Grbm : public Energy, public AffineLatentModel {
 public:
  /// Most latent variables that log_z sums over.
  static constexpr std::int64_t kMostEnumerated = 25;

  Grbm(const GrbmOptions& options, const ModelContext& context);

  /// F(v).
  Tensor energy(const Tensor& v) const override;
  std::optional<Jet> energy(const Jet& v) const override;
  bool has_jet() const override { return true; }
  Tensor joint(const Tensor& v, const Tensor& h) const override;
  std::optional<Jet> joint(const Jet& v, const Tensor& h) const override;
  bool discrete() const override { return true; }
  torch::nn::Module& module() override { return parameters_.module(); }
  std::vector<LayerNote> layers() const override { return {{"latent", "softplus"}}; }
  Shape event() const override { return event_; }
  std::int64_t latent_size() const override { return weight_.size(1); }

  /// -½ Σ_i (v_i - b_i)²/σ_i².
  Tensor offset(const Tensor& v) const override;
  /// logit p(h_j = 1 | v) = c_j + (Wᵀv)_j: [B, *event] -> [B, K].
  Tensor latent_logits(const Tensor& v) const override;
  Tensor posterior_mean(const Tensor& v) const override;
  Tensor posterior_covariance(const Tensor& mean, const Tensor& t) const override;
  Tensor conditional_score(const Tensor& v, const Tensor& h) const override;
  Tensor coupled(const Tensor& v, const Tensor& z) const override;
  Tensor pullback(const Tensor& v, const Tensor& z, const Tensor& h, const Tensor& u) const override;

  /// F_β(v), [B].
  Tensor annealed_energy(const Tensor& v, double beta) const;
  /// E[v | h] = b + σ²·(W h): [N, K] -> [N, *event].
  Tensor visible_mean(const Tensor& h) const;
  /// σ, like one event.
  Tensor visible_deviation() const;
  /// Exact draws of p_β(h | v) and p_β(v | h), one per row, without graph.
  Tensor sample_latent(const Tensor& v, Rng& rng, double beta = 1) const;
  Tensor sample_visible(const Tensor& h, Rng& rng, double beta = 1) const;

  /// log ∫ exp(-F_0): 0-dim float64. At β = 0 v ~ N(b, diag σ²), and h is K fair coins.
  Tensor base_log_z() const;
  /// log ∫ exp(-F) by enumeration of all h: 0-dim float64, in 2^K steps of memory bounded without graph; its graph is kept
  /// where gradients are recorded. Throws RequestError beyond kMostEnumerated latent variables.
  Tensor log_z() const;
  /// Exact draws of p(v), [n, *event], by the same enumeration, without graph. Throws as log_z.
  Tensor sample(std::int64_t n, Rng& rng) const;

 private:
  Shape event_;
  Parameters parameters_;
  Tensor weight_, visible_bias_, latent_bias_, log_deviation_;
  bool learns_deviation_;

  /// The 2^K terms, by their logarithms in float64, whose sum is the normaliser up to a factor: chunk by chunk in the order of
  /// the states. Throws as log_z.
  void each_state_weight(const std::function<void(const Tensor& log_weights)>& use) const;
  /// The parameters that are trained, in the order W, b, c, log σ.
  std::vector<Tensor> learned() const;
  /// Gradients in that order of Σ_b weight_b E(v_b, h_b), from h [B, K] multiplied by the weights [B].
  using JointGradients = std::function<std::vector<Tensor>(const Tensor& weighted_h, const Tensor& weight)>;
  JointGradients joint_gradients(const Tensor& v) const;
  /// 1/σ², [d].
  Tensor precision() const;
  template <class T>
  T half_square(const T& flat) const;
  template <class T>
  T marginal(const T& v) const;
};

}  // namespace gibbsite
