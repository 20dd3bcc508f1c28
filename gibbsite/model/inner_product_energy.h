// E(x) = ⟨x, ψ(x)⟩ with a network ψ of x's width (minimum velocity learning: a plain scalar network trains worse). Where x
// and -x are the same point, the even part of it.
#pragma once

#include <gibbsite/model/network_energy.h>

namespace gibbsite {

struct InnerProductEnergyOptions : NetworkOptions {
  std::vector<std::int64_t> hidden = {100, 100};
  InnerProductEnergyOptions() { activation = "tanh"; }
  void declare(OptionVisitor& o) {
    NetworkOptions::declare(o);
    o.option("hidden", hidden, "widths of the hidden layers of ψ", at_least(1));
  }
};

/// Weights start uniform in ±√(6/(inputs + outputs)), biases at 0.
std::unique_ptr<Energy> make_inner_product_energy(const InnerProductEnergyOptions& options,
                                                  const ModelContext& context);

}  // namespace gibbsite
