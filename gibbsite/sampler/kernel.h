// Samplers take a target of callables, not a model: one Langevin kernel serves the negatives of contrastive divergence,
// annealed generation and chains in a latent space alike.
//
// One step-size convention: eta of x <- x - (eta/2) grad E(x) + sqrt(eta) * noise_scale * omega, omega ~ N(0, I); on a
// manifold x <- exp_x(...) with the Riemannian gradient and omega standard normal in the tangent space.
#pragma once

#include <gibbsite/core/random.h>
#include <gibbsite/core/registry.h>
#include <gibbsite/core/tensor.h>
#include <gibbsite/manifold/manifold.h>
#include <gibbsite/sampler/row_function.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace gibbsite {

/// Energy [B] and score [B, *event] at the same x.
struct EnergyScore {
  Tensor energy;
  Tensor score;
};

/// Any member may be empty. A missing score comes from autograd of the energy; a kernel that needs a missing energy
/// throws RequestError with the kernel's name. Without Graph::kKeep `score` and `both` are called with gradients not
/// recorded; one that uses autograd inside turns recording on itself.
struct Target {
  EnergyFn energy = {};                                 ///< [B, *event] -> [B]
  std::function<Tensor(const Tensor&)> score = {};      ///< [B, *event] -> [B, *event], grad log p = -grad E
  std::function<EnergyScore(const Tensor&)> both = {};  ///< both in one evaluation, where that is cheaper; detached
  /// Energy and score of float32 rows on the CPU, where there is a way that is faster; used wherever no graph is asked for.
  std::shared_ptr<const RowFunction> rows = nullptr;
  /// The part of the energy that tempering leaves alone, so that exp(-reference) is the law at inverse temperature 0; empty: 0.
  EnergyFn reference = {};
  /// Independent draws of exp(-reference), as many as `like` has rows and of their shape; empty where nobody knows how.
  std::function<Tensor(const Tensor& like, Rng& rng)> draw_reference = {};
  /// Where x lives; null for Euclidean space of any shape. The density is with respect to its volume, and a score given is
  /// the Riemannian gradient, tangent.
  std::shared_ptr<const Manifold> manifold = nullptr;
};

/// Whether the returned state keeps the autograd graph through the drift.
enum class Graph { kDetach, kKeep };

/// The next state and what made it.
struct Step {
  Tensor x;            ///< [B, *event]
  Tensor noise;        ///< [B, *event], the increment: the standard normal times its factor, before any acceptance test
  Tensor accepted;     ///< [B] in {0, 1} for Metropolis kernels, undefined for others
  Tensor energy;       ///< [B] at x where the kernel knows it, else undefined
  Tensor score;        ///< [B, *event] at x where the kernel knows it, else undefined
  Tensor probability;  ///< [B] acceptance probability of the proposal, for Metropolis kernels
  Tensor exchanged;    ///< [B] in {0, 1} for kernels of replicas: whether the row has the state of a neighbour
};

/// What every one of several transitions draws from.
enum class Draws { kStepEach, kConsecutive };

class Kernel {
 public:
  virtual ~Kernel() = default;
  /// One transition of every row of x. `previous` may be the step that made x from the same target: kernels reuse its
  /// energy and score when previous->x is the very tensor x. Metropolis kernels throw RequestError on Graph::kKeep and
  /// on a target without energy. x is never written to.
  virtual Step step(const Target& target, const Tensor& x, Rng& rng, Graph graph = Graph::kDetach,
                    const Step* previous = nullptr) const = 0;

  /// `count` transitions where target and kernel let rows go on without waiting for one another, else nothing: then they are to
  /// be made one by one. Numbers drawn and states are those of `count` calls of step, transition t with rng.at_step(step + t), or
  /// with consecutive draws of rng's present step.
  virtual std::optional<Step> advance(const Target& /*target*/, const Tensor& /*x*/, std::int64_t /*count*/,
                                      Rng& /*rng*/, Draws /*draws*/) const {
    return std::nullopt;
  }

  /// The kernel's step size, 0 for a kernel without one.
  virtual double step_size() const { return 0; }
  /// The same kernel with another step size; null for a kernel without one.
  virtual std::shared_ptr<const Kernel> with_step_size(double /*step_size*/) const { return nullptr; }
  /// True for kernels whose rows are particles that act on one another: chains are then not independent of those beside them.
  virtual bool interacts() const { return false; }
  /// Rows of a state come in groups of this many, of which the first is a chain of the target and the others serve it.
  virtual std::int64_t replicas() const { return 1; }
  /// The mean acceptance that step-size adaptation should aim at; 0 for kernels without an acceptance test.
  virtual double target_acceptance() const { return 0; }
};

/// Whether target.rows takes such states.
bool takes_rows(const Target& target, const Tensor& x);

/// The target's score at x ([B, *event]), by autograd of the energy where no score is given; on a manifold the Riemannian
/// gradient. Detached unless `graph`
/// keeps; then it is differentiable in the energy's parameters, and in x if x requires a gradient.
Tensor score_of(const Target& target, const Tensor& x, Graph graph = Graph::kDetach);

/// Energy and score at x, detached, from one autograd graph where the target gives no cheaper way. `who` is named in
/// the RequestError thrown for a target without energy.
EnergyScore energy_and_score(const Target& target, const Tensor& x, const std::string& who);

/// The same, taken from `previous` where that is the step that made x.
EnergyScore energy_and_score(const Target& target, const Tensor& x, const Step* previous, const std::string& who);

/// Throws RequestError naming `who` for a kernel whose states have rows that serve others.
void refuse_replicas(const Kernel& kernel, const std::string& who);

/// The target of density p^beta: energy and score times beta, the reference included.
Target tempered(const Target& target, double beta);

using MakeKernel = std::function<std::shared_ptr<const Kernel>(const Config& options)>;
const Table<MakeKernel>& kernel_table();

}  // namespace gibbsite
