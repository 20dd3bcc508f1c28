// A plan as part of autograd graphs: a drop-in for the network it was recorded from.
#pragma once

#include <gibbsite/calculus/jet.h>
#include <gibbsite/nn/plan.h>
#include <gibbsite/sampler/row_function.h>

#include <functional>
#include <memory>
#include <vector>

namespace gibbsite {

/// Reverse passes run through the plan: gradients in the event and in the parameters; the gradient in the event with a graph,
/// whose own reverse pass makes denoising objectives six forward passes in all; the parameters of jets of order 1 and 2. What
/// goes beyond (parameters of a gradient of a gradient) falls back on the network itself, so that no derivative is ever lost.
class CompiledEnergy {
 public:
  /// The network as it is, which must outlive this.
  struct Network {
    std::function<Tensor(const Tensor&)> energy;
    std::function<Jet(const Jet&)> jet;
  };
  CompiledEnergy(const Recorded& energy, Network network);

  /// Whether the plan is for such events.
  static bool takes(const Tensor& x);
  /// [B, *event] -> [B].
  Tensor energy(const Tensor& x) const;
  /// Σ_b weight_b ½‖score(x_b) - target_b‖², 0-dim, with its gradient in the parameters, which has no graph of its own. x, target:
  /// [B, *event], weight: [B].
  Tensor score_distance(const Tensor& x, const Tensor& target, const Tensor& weight) const;
  /// Whether jets of this kind go through the plan.
  bool takes(const Jet& x) const;
  Jet energy(const Jet& x) const;
  /// Energies and scores without graph, by the parameters of this moment: ask again after a change. RequestError where the
  /// processor has no products of that precision.
  std::shared_ptr<const RowFunction> rows(ProductPrecision precision) const;

 private:
  std::shared_ptr<const Plan> plan_;
  std::shared_ptr<const Network> network_;
  std::vector<std::shared_ptr<const RowFunction>> rows_;  // by precision
};

}  // namespace gibbsite
