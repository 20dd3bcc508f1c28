// The exact score-matching loss of Hyvärinen (2005): E_data[ 1/2 ||grad E||^2 - laplacian E ].
#pragma once

#include <gibbsite/calculus/derivatives.h>
#include <gibbsite/core/random.h>
#include <gibbsite/core/tensor.h>
#include <gibbsite/metric/estimate.h>

namespace gibbsite {

/// 1/2 ||grad E||^2 - laplacian E of every row, [N] float64, evaluated in the dtype of x, `chunk` rows at a time: by jets
/// where the energy takes them, else by one reverse pass per coordinate. x: [N, *event].
Tensor score_matching_terms(const ScalarFunction& energy, const Tensor& x, std::int64_t chunk = 4096);
Tensor score_matching_terms(const EnergyFn& energy, const Tensor& x, std::int64_t chunk = 4096);

/// Their mean.
Estimate score_matching_loss(const ScalarFunction& energy, const Tensor& x, std::int64_t chunk = 4096);
Estimate score_matching_loss(const EnergyFn& energy, const Tensor& x, std::int64_t chunk = 4096);

/// The same with the Laplacian replaced by its mean over `probes` Rademacher directions per row (Hutchinson 1990): unbiased,
/// and cheap where there are many coordinates. A row's directions depend on its number, not on `chunk`.
Tensor sliced_score_matching_terms(const ScalarFunction& energy, const Tensor& x, std::int64_t probes, const Rng& rng,
                                   std::int64_t chunk = 4096);
/// Their mean; its standard error covers rows and probes.
Estimate sliced_score_matching_loss(const ScalarFunction& energy, const Tensor& x, std::int64_t probes, const Rng& rng,
                                    std::int64_t chunk = 4096);

}  // namespace gibbsite
