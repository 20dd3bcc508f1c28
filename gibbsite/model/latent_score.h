// Scores of codes: grad_h log q(h | v) of a conditional law, or grad_h log q(h) of the aggregate over v, for entropies that
// have no formula.
#pragma once

#include <gibbsite/model/latent_context.h>
#include <gibbsite/model/score.h>

#include <functional>
#include <memory>
#include <vector>

namespace gibbsite {

class LatentScore {
 public:
  virtual ~LatentScore() = default;
  /// The score in h with v fixed, [B, *event]; a batch of kB codes takes the rows of v k times over. Work on v alone is done
  /// here, with its graph. The network must outlive the result.
  virtual std::unique_ptr<Score> given(const Tensor& v) const = 0;
  /// For the optimiser and checkpoints only.
  virtual torch::nn::Module& module() = 0;
  /// The energy of h whose negative gradient the score is, [kB, K] -> [kB], with v fixed as in given(); empty for a score
  /// that is no such gradient. The network must outlive the result.
  virtual ScalarFunction energy_given(const Tensor& /*v*/) const { return {}; }
  /// Whether energy_given() has a value.
  virtual bool has_energy() const { return false; }
  /// Whether the scores of given() have a jet.
  virtual bool has_jet() const { return true; }
  /// Activations in order, for the guards of score-matching objectives.
  virtual std::vector<LayerNote> layers() const = 0;
};

using MakeLatentScore =
    std::function<std::unique_ptr<LatentScore>(const Config& options, const LatentContext& context)>;
const Table<MakeLatentScore>& latent_score_table();

}  // namespace gibbsite
