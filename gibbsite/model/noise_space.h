// The noise space of a generator, in which a product of a variational auto-encoder and an energy, h(x, z) ∝ p(z) p(x | z)
// exp(-E(x)), is sampled (VAEBM, Eq. 9; protocol sheet 2). With ε = (ε_z, ε_x) and x = x(ε) its law there has the potential
//
//   exact      U(ε) = E(x(ε)) + ½ ‖ε‖²
//   published  E(x) - Σ_l log p(z_l | z_<l) - log p̃(x | z), what the released code follows: less the Jacobian, so that it
//              adds Σ log σ and draws chains to latent variables of small conditional deviations, and with the deviation of x
//              kept above a floor
//
// A state is one vector: the noise of every group, then that of x.
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
  void declare(OptionVisitor& o) {
    o.option("potential", potential,
             "exact: the law of the model; published: without the Jacobian of the noise, as in VAEBM's code",
             {"exact", "published"});
    o.only_if(potential == "published")
        .option("deviation_floor", deviation_floor,
                "the least deviation of x in the potential, e⁻² + 0.01 as published", non_negative());
    o.option("clamp", clamp, "[low, high] that every value of x is moved into before the energy sees it; empty: none");
  }
};

/// The two sides of a state.
struct Noise {
  std::vector<Tensor> z;  ///< [B, *group] each
  Tensor x;               ///< [B, *event]
};

class NoiseSpace {
 public:
  /// The generator must outlive it. Throws RequestError unless `clamp` is empty or low < high.
  NoiseSpace(const Generator& generator, const NoiseSpaceOptions& options);

  /// Length of a state.
  std::int64_t size() const { return latent_size_ + event_size_; }
  /// Length of the part that makes latent variables, the first one.
  std::int64_t latent_size() const { return latent_size_; }
  const Generator& generator() const { return generator_; }

  /// [B, size]. Throws WorkError where the shapes are not the generator's.
  Tensor pack(const Noise& noise) const;
  /// Views of a state.
  Noise unpack(const Tensor& state) const;

  /// x(ε), clamped: [B, size] -> [B, *event].
  Tensor points(const Tensor& state) const;
  /// E[x | z], not clamped.
  Tensor means(const Tensor& state) const;
  /// The state that makes z and x (not clamped): [B, size].
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
  Tensor prior(const Tensor& state, const Generated& made, const Tensor& x) const;
};

}  // namespace gibbsite
