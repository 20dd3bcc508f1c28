// The noise space of a generator, in which a product of a variational auto-encoder and an energy, h(x, z) ∝ p(z) p(x | z)
// exp(-E(x)), is sampled (VAEBM, Eq. 9; protocol sheet 2). With ε = (ε_z, ε_x) and x = x(ε) its law there has the potential
//
//   exact      U(ε) = E(x(ε)) + ½ ‖ε‖²
//   published  E(x) - Σ_l log p(z_l | z_<l) - log p̃(x | z), what the released code follows: less the Jacobian, so that it
//              adds Σ log σ and draws chains to latent variables of small conditional deviations, and with the deviation of x
//              kept above a floor
//
// A state is one vector: the noise of every group, then that of x. Beyond the paper the energy may be that of the mean
// E[x | z] in place of x, h(x, z) ∝ p(z) p(x | z) exp(-E(E[x | z])): then the noise of x is none of its business, points are
// means, and states end with the latent variables.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/core/random.h>
#include <gibbsite/model/generator.h>
#include <gibbsite/sampler/kernel.h>

#include <string>
#include <vector>

namespace gibbsite {

struct NoiseSpaceOptions {
  std::string potential = "exact";
  double deviation_floor = 0.1453;
  std::vector<double> clamp;
  std::string points = "sample";
  void declare(OptionVisitor& o) {
    o.option("potential", potential,
             "exact: the law of the model; published: without the Jacobian of the noise, as in VAEBM's code",
             {"exact", "published"});
    o.only_if(potential == "published")
        .option("deviation_floor", deviation_floor,
                "the least deviation of x in the potential, e⁻² + 0.01 as published", non_negative());
    o.option("points", points, "what the energy sees: x(ε), or the means E[x | z], with no noise of x in a state",
             {"sample", "mean"});
    o.option("clamp", clamp, "[low, high] that every value of x is moved into before the energy sees it; empty: none");
  }
};

/// The two sides of a state.
struct Noise {
  std::vector<Tensor> z;  ///< [B, *group] each
  Tensor x;               ///< [B, *event]; undefined where points are means
};

class NoiseSpace {
 public:
  /// The generator must outlive it. Throws RequestError unless `clamp` is empty or low < high, and for means in the published
  /// potential, which is one of x.
  NoiseSpace(const Generator& generator, const NoiseSpaceOptions& options);

  /// Length of a state.
  std::int64_t size() const { return latent_size_ + event_size_; }
  /// Length of the part that makes latent variables, the first one.
  std::int64_t latent_size() const { return latent_size_; }
  /// Whether points are means.
  bool of_means() const { return event_size_ == 0; }
  const Generator& generator() const { return generator_; }

  /// [B, size]. Throws WorkError where the shapes are not the generator's.
  Tensor pack(const Noise& noise) const;
  /// Views of a state.
  Noise unpack(const Tensor& state) const;

  /// What the energy sees, x(ε) or E[x | z], clamped: [B, size] -> [B, *event].
  Tensor points(const Tensor& state) const;
  /// E[x | z], not clamped.
  Tensor means(const Tensor& state) const;
  /// The state that makes z and, unless points are means, x (not clamped): [B, size].
  Tensor encode(const Tensor& x, const std::vector<Tensor>& z) const;

  /// The potential up to a constant, [B, size] -> [B], with the energy of x as what tempering acts on. Without an energy the
  /// law of the generator. This space must outlive it.
  Target target(EnergyFn energy) const;

 private:
  const Generator& generator_;
  NoiseSpaceOptions options_;
  std::vector<Shape> groups_;
  Shape event_;
  std::int64_t latent_size_ = 0, event_size_ = 0;

  Tensor clamped(const Tensor& x) const;
  Tensor point(const Noise& noise, const Generated& made) const;
  Tensor prior(const Tensor& state, const Generated& made, const Tensor& x) const;
};

}  // namespace gibbsite
