// A model p(z) p(x | z) of Gaussian laws as a map of standard normal noise (VAEBM, section 3.2; protocol sheet 2.1): latent
// variables come in groups, z_1 = σ_1 ε_1 + μ_1, z_l = μ_l(z_<l) + σ_l(z_<l) ε_l, and x = μ_x(z) + σ_x(z) ε_x.
#pragma once

#include <gibbsite/core/random.h>
#include <gibbsite/core/tensor.h>
#include <gibbsite/model/decoder.h>

#include <memory>
#include <vector>

namespace gibbsite {

/// The latent variables that some noise makes, and the law of x given them.
struct Generated {
  std::vector<Tensor> z;  ///< [B, *group] each
  Tensor log_deviation;   ///< [B], Σ log σ over all groups; undefined where every σ is 1
  Tensor mean;            ///< of x, [B, *event]
  Tensor deviation;       ///< of x, broadcasts to the mean
};

class Generator {
 public:
  virtual ~Generator() = default;
  /// Shapes of the groups of latent variables, in the order they are drawn.
  virtual std::vector<Shape> groups() const = 0;
  /// Shape of one x.
  virtual Shape event() const = 0;
  /// Noise of every group, [B, *group] each; differentiable.
  virtual Generated generate(const std::vector<Tensor>& noise) const = 0;
  /// The noise that makes these latent variables.
  virtual std::vector<Tensor> noise_of(const std::vector<Tensor>& z) const = 0;
};

/// Standard normal noise of every group, [n, *group] each, times `temperature`.
std::vector<Tensor> prior_noise(const Generator& generator, std::int64_t n, double temperature, const Tensor& like,
                                Rng& rng);

/// Means of x given such draws of the latent variables, [n, *event], without a graph. Rows do not depend on n.
Tensor generated_means(const Generator& generator, std::int64_t n, double temperature, const Tensor& like,
                       const Rng& rng);

/// A decoder under the prior N(0, I): one group [K], which is its own noise. The decoder must outlive it. Throws RequestError
/// for decoders of discrete laws, whose observations are no smooth map of noise.
std::unique_ptr<Generator> make_decoder_generator(Decoder& decoder);

}  // namespace gibbsite
