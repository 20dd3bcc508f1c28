// Samplers take a target of callables, not a model: one Langevin kernel serves the negatives of contrastive divergence,
// annealed generation and chains in a latent space alike.
//
// One step-size convention: eta of x <- x - (eta/2) grad E(x) + sqrt(eta) * noise_scale * omega, omega ~ N(0, I).
#pragma once

#include <gibbsite/core/random.h>
#include <gibbsite/core/tensor.h>

#include <functional>

namespace gibbsite {

/// Either may be empty. A missing score comes from autograd of the energy; a kernel that needs a missing energy throws
/// RequestError with the kernel's name.
struct Target {
  EnergyFn energy;                               ///< [B, *event] -> [B]
  std::function<Tensor(const Tensor&)> score;    ///< [B, *event] -> [B, *event], grad log p = -grad E
};

/// Whether the returned state keeps the autograd graph through the drift.
enum class Graph { kDetach, kKeep };

/// The next state and what made it.
struct Step {
  Tensor x;         ///< [B, *event]
  Tensor noise;     ///< [B, *event], the increment: the standard normal times its factor, before any acceptance test
  Tensor accepted;  ///< [B] in {0, 1} for Metropolis kernels, undefined for others
  Tensor energy;    ///< [B] at x where the kernel knows it, else undefined
  Tensor score;     ///< [B, *event] at x where the kernel knows it, else undefined
};

class Kernel {
 public:
  virtual ~Kernel() = default;
  /// One transition of every row of x. `previous` may be the step that produced x: kernels reuse its energy and score.
  virtual Step step(const Target& target, const Tensor& x, Rng& rng, Graph graph = Graph::kDetach,
                    const Step* previous = nullptr) const = 0;
};

/// The target's score at x ([B, *event]), by autograd of the energy where no score is given. Detached unless `graph` keeps.
Tensor score_of(const Target& target, const Tensor& x, Graph graph = Graph::kDetach);

}  // namespace gibbsite
