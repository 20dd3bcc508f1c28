// The score of a latent-variable energy with binary h by importance sampling from fair coins (VaGES, section 5.1; protocol
// sheet V3): that of
//
//   p̃(v) ≈ (1/L) Σ_i p̃(v, h_i) / 0.5^K,   h_i uniform on {0, 1}^K,
//
// so that both the score and its gradient have self-normalised weights, and are biased by O(1/L).
#pragma once

#include <gibbsite/model/latent_energy.h>
#include <gibbsite/model/score.h>

#include <memory>

namespace gibbsite {

/// New h at every call and row. `model` must outlive it. Throws RequestError for continuous latent variables or no particle.
std::unique_ptr<Score> make_importance_score(std::int64_t particles, const LatentModel& model);

}  // namespace gibbsite
