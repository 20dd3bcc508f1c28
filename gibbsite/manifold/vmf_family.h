// The von Mises–Fisher law as an exponential family on the unit sphere of R^K: η = z, λ = κ · mean direction, any vector; B(λ)
// = -log C_K(κ), base the area.
#pragma once

#include <gibbsite/calculus/exponential_family.h>

namespace gibbsite {

/// K >= 2.
std::unique_ptr<ExponentialFamily> make_von_mises_fisher_family(std::int64_t size);

}  // namespace gibbsite
