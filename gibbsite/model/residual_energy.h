// The deep energy of finite-difference score matching: residual convolutions and a quadratic or linear head.
#pragma once

#include <gibbsite/model/network_energy.h>

namespace gibbsite {

struct ResidualEnergyOptions : NetworkOptions {
  std::int64_t filters = 16;
  std::int64_t stages = 3;
  std::int64_t blocks = 3;
  std::string head = "quadratic";
  bool norm = false;
  bool recompute = false;
  ResidualEnergyOptions() { activation = "normalised_softplus"; }
  void declare(OptionVisitor& o) {
    NetworkOptions::declare(o);
    o.option("filters", filters, "filters of the first stage, doubled by every stage", at_least(1));
    o.option("stages", stages, "stages, each halving the resolution", at_least(1));
    o.option("blocks", blocks, "residual blocks per stage", at_least(1));
    o.option("head", head, "linear or quadratic", {"linear", "quadratic"});
    o.option("norm", norm, "composite instance norm before every activation");
    o.option("recompute", recompute,
             "derivatives keep what enters a block and make its inside again: less memory, a forward pass more");
  }
};

/// Events are images [C, H, W]; throws RequestError for other shapes.
std::unique_ptr<Energy> make_residual_energy(const ResidualEnergyOptions& options, const ModelContext& context);

}  // namespace gibbsite
