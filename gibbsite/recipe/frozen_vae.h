// [vae]: a finished run of an auto-encoder, loaded from there wherever this one is. Either the energy of [model] corrects its
// law, p(x) exp(-E(x)), or the energy is that of x alone and the auto-encoder only makes points that chains start from. It is
// frozen, unless its decoder is asked to be trained further as the part `vae`.
#pragma once

#include <gibbsite/core/config.h>
#include <gibbsite/model/hierarchical_vae.h>
#include <gibbsite/model/noise_space.h>

#include <memory>
#include <string>

namespace gibbsite {

struct Parts;

struct VaeOptions : NoiseSpaceOptions {
  std::string run;
  std::string role = "product";
  std::string samples = "sample";
  std::string start = "prior";
  double temperature = 1;
  std::int64_t readjust = 0;
  bool trainable = false;
  void declare(OptionVisitor& o) {
    o.option("run", run, "directory of the run");
    o.option("role", role,
             "product: the energy corrects its law; start: chains on x start at its draws, and the energy stands alone",
             {"product", "start"});
    o.option("samples", samples,
             "what the ends of chains are given out as: points, or the means E[x | z] (not clamped)",
             {"sample", "mean"});
    o.option("start", start,
             "first states of chains that sample: noise of the prior, or that of its images as the encoder sees them",
             {"prior", "encoded"});
    o.option("temperature", temperature, "deviations of the prior in these first states are multiplied by this",
             non_negative());
    o.only_if(start == "encoded")
        .option(
            "readjust", readjust,
            "batches of such draws by which batch norms take their statistics before the images are made; the encoder "
            "and chains have those of training",
            at_least(0));
    o.only_if(role == "product")
        .option("trainable", trainable,
                "the decoder, from its state in that run on, is the part `vae` of this one, which phases train");
    NoiseSpaceOptions::declare(o);
  }
};

/// Null members where the recipe has no [vae].
struct FrozenVae {
  VaeOptions options;
  std::shared_ptr<const Parts> parts;
  std::shared_ptr<const Generator> generator;
  std::shared_ptr<HierarchicalVae> hierarchy;  ///< the same, where it is one
  std::shared_ptr<const NoiseSpace> space;     ///< of the role `product`
  std::shared_ptr<const NoiseSpace> starts;    ///< of the role `start`

  /// The state that makes x ([B, *event], model units) with a draw of the posterior, or E[x | z] where points are means:
  /// [B, space->size()].
  Tensor encode(const Tensor& x, const Rng& rng) const;
  /// What the energy sees of such a state; `rng` is at the step and row of x.
  Tensor reconstruct(const Tensor& x, const Rng& rng) const;
  /// First states of n chains.
  Tensor start(std::int64_t n, const Rng& rng) const;
  /// The end of a chain as a point in model units.
  Tensor point(const Tensor& state) const;
  /// n draws of the auto-encoder in model units.
  Tensor draws(std::int64_t n, Rng& rng, const Tensor& like) const;

 private:
  Tensor state_of(const Tensor& x, Rng draws) const;
};

/// The auto-encoder of recipe's [vae] for `parts`, whose data and model are there; the table with defaults goes to its resolved
/// recipe. Throws RequestError, with the line that names the run, where that has no decoder of a Gaussian law under the prior
/// N(0, I), or its points differ from these in shape, scale or precision; WorkError where there is no such run.
FrozenVae load_frozen_vae(const Config& recipe, Parts& parts);

}  // namespace gibbsite
