// Contrastive divergence of a Gaussian-Bernoulli machine (Hinton 2002): mean F(v) - mean F(v⁻), with v⁻ frozen after k Gibbs
// sweeps from the data, or (Tieleman 2008) from chains kept between updates. The gradient is that of -log likelihood once the
// sweeps have reached the machine's law (protocol sheet of VaGES, 8).
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/objective/objective.h>

namespace gibbsite {

struct GibbsDivergenceOptions {
  std::int64_t steps = 1;
  bool persistent = false;
  void declare(OptionVisitor& o) {
    o.option("steps", steps, "k, sweeps v -> h -> v per update", at_least(1));
    o.option("persistent", persistent,
             "chains of h go on from update to update, one per row of the first batch, from p(h | v) of its rows");
  }
};

/// Takes a Grbm as its energy, RequestError for others. Logs energy_gap, the loss itself.
std::unique_ptr<Objective> make_gibbs_divergence(const GibbsDivergenceOptions& options, const ObjectiveParts& parts);

}  // namespace gibbsite
