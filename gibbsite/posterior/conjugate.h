// The exact posterior of a conjugate energy-based model.
#pragma once

#include <gibbsite/model/conjugate_energy.h>
#include <gibbsite/posterior/posterior.h>

namespace gibbsite {

/// p(z | x) of the model, which must outlive it; no parameters of its own. Draws have no graph. Its divergence is that from the
/// bias, where that is a single one.
std::unique_ptr<Posterior> make_exact_posterior(const ConjugateEnergy& model);

}  // namespace gibbsite
