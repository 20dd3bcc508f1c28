// E(x) by a multi-layer perceptron on flattened points.
#pragma once

#include <gibbsite/model/network_energy.h>

namespace gibbsite {

struct MlpEnergyOptions : NetworkOptions {
  std::vector<std::int64_t> hidden = {128, 128, 128};
  std::string head = "linear";
  bool skip = false;
  bool norm = false;
  double confinement = 0;
  void declare(OptionVisitor& o) {
    NetworkOptions::declare(o);
    o.option("hidden", hidden, "widths of the hidden layers", at_least(1));
    o.option("head", head, "linear, or quadratic as in the deep energies of finite-difference score matching",
             {"linear", "quadratic"});
    o.option("skip", skip, "adds a linear map of the input");
    o.option("norm", norm, "composite layer norm before every activation");
    o.option("confinement", confinement, "adds confinement ‖x‖²/2, so that the density is normalisable",
             non_negative());
  }
};

std::unique_ptr<Energy> make_mlp_energy(const MlpEnergyOptions& options, const ModelContext& context);

}  // namespace gibbsite
