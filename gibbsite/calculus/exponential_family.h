// Exponential families p(z; λ) = h(z) exp(⟨λ, η(z)⟩ - B(λ)) and their Legendre duality (conjugate energy-based models, sections
// 2.4 and 2.5): ∇B maps natural parameters λ to mean parameters μ = E[η(z)], ∇B* maps them back, B*(μ) = ⟨μ, λ⟩ - B(λ).
//
//   gaussian      K independent normal numbers; η = (z, z²), λ = (μ/σ², -1/(2σ²)), all of one half first; h = (2π)^(-K/2)
//   normal        the same of variance 1; η = z, λ = the mean; h = N(z; 0, I)
//   bernoulli     K independent bits; η = z, λ = logits
//   categorical   one of K + 1, told by K indicators; η = z, λ = logits against the last one
//   dirichlet     K shares that sum to one, under their K - 1 dimensional volume in the first ones; η = log z, λ = α - 1
//
// A von Mises–Fisher family is in gibbsite/manifold/vmf_family.h.
#pragma once

#include <gibbsite/calculus/jet.h>
#include <gibbsite/core/random.h>
#include <gibbsite/core/tensor.h>

#include <memory>
#include <optional>

namespace gibbsite {

/// Rows of z have K numbers, rows of natural and mean parameters S; leading dimensions are any. Everything is differentiable
/// but for draws.
class ExponentialFamily {
 public:
  virtual ~ExponentialFamily() = default;
  virtual std::int64_t size() const = 0;        ///< K
  virtual std::int64_t statistics() const = 0;  ///< S
  /// η(z): [..., K] -> [..., S].
  virtual Tensor statistic(const Tensor& z) const = 0;
  /// log h(z): [..., K] -> [...].
  virtual Tensor log_base(const Tensor& z) const = 0;
  /// E[log h(z)]: [..., S] -> [...].
  virtual Tensor mean_log_base(const Tensor& natural) const = 0;
  /// B(λ): [..., S] -> [...].
  virtual Tensor log_normaliser(const Tensor& natural) const = 0;
  /// The same of a jet whose slices are [N, S], to slices [N]; nothing where it has none.
  virtual std::optional<Jet> log_normaliser(const Jet& natural) const = 0;
  /// ∇B(λ), [..., S].
  virtual Tensor mean_parameters(const Tensor& natural) const = 0;
  /// ∇B*(μ), its inverse. Meaningless for μ that are the mean of no member.
  virtual Tensor natural_parameters(const Tensor& mean) const = 0;

  /// λ of the member that a bias is by default: N(0, I), fair coins, the uniform law. [S] float64.
  virtual Tensor standard() const = 0;
  /// A member for any real numbers [..., S], each of one set of them: mean and log deviation of a Gaussian, log α of a
  /// Dirichlet law, else λ itself.
  virtual Tensor natural_of_free(const Tensor& free) const { return free; }
  /// λ plus an update that any real numbers [..., S] (the output of a network) stand for, such that the sum is a natural
  /// parameter whatever they are: plain sums, but for squares where λ has a bound.
  virtual Tensor updated(const Tensor& natural, const Tensor& raw) const = 0;
  /// The same of a jet of raw numbers, slices [N, S], where the family has one.
  virtual std::optional<Jet> updated(const Tensor& natural, const Jet& raw) const = 0;

  /// Mean and variance of each of the K numbers: [..., S] -> [..., K].
  virtual Tensor mean(const Tensor& natural) const = 0;
  virtual Tensor variance(const Tensor& natural) const = 0;
  /// One draw per row, [N, S] -> [N, K], without graph.
  virtual Tensor sample(const Tensor& natural, Rng& rng) const = 0;
  /// Whether z is a vector of bits.
  virtual bool discrete() const { return false; }
};

std::unique_ptr<ExponentialFamily> make_gaussian_family(std::int64_t size);
std::unique_ptr<ExponentialFamily> make_normal_family(std::int64_t size);
std::unique_ptr<ExponentialFamily> make_bernoulli_family(std::int64_t size);
std::unique_ptr<ExponentialFamily> make_categorical_family(std::int64_t size);
std::unique_ptr<ExponentialFamily> make_dirichlet_family(std::int64_t size);

/// log p(z; λ): z [..., K], natural [..., S] -> [...].
Tensor log_density(const ExponentialFamily& family, const Tensor& z, const Tensor& natural);
/// -E[log p(z; λ)] = B(λ) - ⟨λ, ∇B(λ)⟩ - E[log h].
Tensor entropy(const ExponentialFamily& family, const Tensor& natural);
/// B*(μ) = ⟨μ, λ(μ)⟩ - B(λ(μ)).
Tensor dual(const ExponentialFamily& family, const Tensor& mean);
/// KL(p(·; a) ‖ p(·; b)) = B(b) - B(a) - ⟨b - a, ∇B(a)⟩, the Bregman divergence of B from b to a.
Tensor kullback_leibler(const ExponentialFamily& family, const Tensor& a, const Tensor& b);
/// D_{B*}(a, b) = B*(a) - B*(b) - ⟨a - b, ∇B*(b)⟩ of mean parameters (Eq. 14).
Tensor dual_divergence(const ExponentialFamily& family, const Tensor& a, const Tensor& b);
/// D_{B*}(η, μ) - B*(η), finite also where η is on the edge of the mean parameters and both terms are infinite, as statistics
/// of single points may be: -B*(μ) - ⟨η - μ, ∇B*(μ)⟩. It is -⟨η, λ(μ)⟩ + B(λ(μ)) (Eq. 15).
Tensor dual_divergence_less_bias(const ExponentialFamily& family, const Tensor& statistic, const Tensor& mean);

}  // namespace gibbsite
