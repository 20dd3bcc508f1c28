// The score grad log p of a model, in the form that objectives differentiate: with z frozen, every denoising and kernel
// objective has the gradient Σ zᵀ ∂score/∂θ, whatever the model behind the score.
#pragma once

#include <gibbsite/calculus/jet.h>
#include <gibbsite/core/random.h>
#include <gibbsite/core/registry.h>
#include <gibbsite/core/tensor.h>
#include <gibbsite/model/energy.h>

#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace gibbsite {

struct ScoreEval {
  Tensor value;  ///< [B, *event], detached
  /// z like x, frozen -> 0-dim Σ z·score, whose gradient in the parameters is Σ zᵀ ∂score/∂θ. Where x itself requires a
  /// gradient it can be differentiated in x as well. May be called several times.
  std::function<Tensor(const Tensor& z)> pullback;
};

class Score {
 public:
  virtual ~Score() = default;
  /// [B, *event] -> [B, *event]. Examples never mix. `rng` is drawn from only by scores that are themselves estimates.
  virtual ScoreEval at(const Tensor& x, Rng& rng) const = 0;
  /// Exact Taylor mode where the score supports it.
  virtual std::optional<Jet> at(const Jet& x, Rng& rng) const;
  /// Whether at(Jet) returns a value.
  virtual bool has_jet() const { return false; }
};

/// A network that is the score itself; it has no energy.
class ScoreNetwork : public Score {
 public:
  /// For the optimiser and checkpoints only.
  virtual torch::nn::Module& module() = 0;
  /// Activations, pools and norms in order, for the guards of score-matching objectives.
  virtual std::vector<LayerNote> layers() const { return {}; }
  /// Shape of one event.
  virtual Shape event() const = 0;
};

/// -grad E. Its graph is kept through the energy's own operations, so a gradient costs six forward passes in all. Weights
/// that a model solves for on its batch are solved on x and not differentiated in x. `energy` must outlive the score.
std::unique_ptr<Score> make_energy_score(const Energy& energy);

using MakeScore = std::function<std::unique_ptr<ScoreNetwork>(const Config& options, const ModelContext& context)>;
const Table<MakeScore>& score_table();

}  // namespace gibbsite
