// Gradients of entropies that have no formula. For h = f(θ, noise) with law q, ∇_θ H(q) = -E[∂hᵀ/∂θ ∇_h log q(h)]: the path
// through log q itself has zero mean. A score of q, however it is had, is therefore all that is needed.
#pragma once

#include <gibbsite/core/tensor.h>
#include <gibbsite/model/latent_score.h>
#include <gibbsite/model/score_estimator.h>

#include <functional>

namespace gibbsite {

/// grad_h log q at codes h [L, B, K] of v [B, *event]: like h, detached.
using EntropyScore = std::function<Tensor(const Tensor& v, const Tensor& h, Rng& rng)>;

/// By a network, which must outlive the result.
EntropyScore network_entropy_score(const LatentScore& network);
/// By kernels, from the L particles of each example, or from all L B codes as samples of one law. The estimator must outlive
/// the result.
EntropyScore kernel_entropy_score(const ScoreEstimator& estimator, bool aggregate);

/// Σ_k s_k h_k with s frozen, [L, B, K] -> [L, B]: its gradient in expectation is that of -H(q), its value means nothing.
Tensor negative_entropy_surrogate(const Tensor& h, const Tensor& score);

}  // namespace gibbsite
