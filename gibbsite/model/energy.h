// p(x) ∝ exp(-energy(x)). Energy, unnormalised log density -E(x) and score grad log p = -grad E: these words mean only this.
#pragma once

#include <gibbsite/calculus/derivatives.h>
#include <gibbsite/calculus/jet.h>
#include <gibbsite/core/random.h>
#include <gibbsite/core/registry.h>
#include <gibbsite/core/tensor.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace gibbsite {

/// A layer that matters for objectives with second derivatives.
struct LayerNote {
  std::string layer;  ///< e.g. "activation2"
  std::string kind;   ///< e.g. "relu", "elu", "max_pool", "batch_norm", "silu"
};

class Energy {
 public:
  virtual ~Energy() = default;
  /// [B, *event] -> [B]. Examples never mix.
  virtual Tensor energy(const Tensor& x) const = 0;
  /// Exact Taylor mode where the network supports it: the jet of [B] energies.
  virtual std::optional<Jet> energy(const Jet& x) const;
  /// Whether energy(Jet) returns a value.
  virtual bool has_jet() const { return false; }
  /// The energy to differentiate on this batch; models that solve for weights on x override it. Default: the energy itself.
  virtual EnergyFn fitted(const Tensor& x) const;
  /// For the optimiser and checkpoints only.
  virtual torch::nn::Module& module() = 0;
  /// Activations, pools and norms in order, for the guards of score-matching objectives.
  virtual std::vector<LayerNote> layers() const { return {}; }
  /// Shape of one event.
  virtual Shape event() const = 0;
};

/// -grad E(x), detached, [B, *event].
Tensor score(const Energy& energy, const Tensor& x);

/// The energy as a function to differentiate; it must outlive the result.
ScalarFunction scalar_function(const Energy& energy);

/// What a model is built from besides its options.
struct ModelContext {
  Shape event;                ///< shape of one data point
  Rng init = Rng(0, "init");  ///< parameters draw from streams "init/<parameter>"
  at::ScalarType dtype = at::kFloat;
  at::Device device = at::kCPU;
};

using MakeEnergy = std::function<std::unique_ptr<Energy>(const Config& options, const ModelContext& context)>;
const Table<MakeEnergy>& energy_table();

}  // namespace gibbsite
