// [vae]: a finished run of an auto-encoder whose law the energy of [model] corrects, p(x) exp(-E(x)). It is loaded from that run
// wherever this one is, and never trained.
#pragma once

#include <gibbsite/core/config.h>
#include <gibbsite/model/noise_space.h>

#include <memory>
#include <string>

namespace gibbsite {

struct Parts;

struct VaeOptions : NoiseSpaceOptions {
  std::string run;
  std::string samples = "sample";
  void declare(OptionVisitor& o) {
    o.option("run", run, "directory of the run");
    o.option("samples", samples, "what the ends of chains are given out as: x(ε), or the means E[x | z]",
             {"sample", "mean"});
    NoiseSpaceOptions::declare(o);
  }
};

/// Null members where the recipe has no [vae].
struct FrozenVae {
  VaeOptions options;
  std::shared_ptr<const Parts> parts;
  std::shared_ptr<const Generator> generator;
  std::shared_ptr<const NoiseSpace> space;

  /// The end of a chain as a point in model units.
  Tensor point(const Tensor& state) const;
};

/// The auto-encoder of recipe's [vae] for `parts`, whose data and model are there; the table with defaults goes to its resolved
/// recipe. Throws RequestError, with the line that names the run, where that has no decoder of a Gaussian law under the prior
/// N(0, I), or its points differ from these in shape, scale or precision; WorkError where there is no such run.
FrozenVae load_frozen_vae(const Config& recipe, Parts& parts);

}  // namespace gibbsite
