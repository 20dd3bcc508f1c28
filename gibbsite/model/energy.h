// p(x) ∝ exp(-energy(x)). Energy, unnormalised log density -E(x) and score grad log p = -grad E: these words mean only this.
#pragma once

#include <gibbsite/calculus/derivatives.h>
#include <gibbsite/calculus/jet.h>
#include <gibbsite/core/random.h>
#include <gibbsite/core/registry.h>
#include <gibbsite/core/tensor.h>
#include <gibbsite/nn/trace.h>
#include <gibbsite/sampler/kernel.h>

#include <functional>
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

/// The closed-form problem that an objective poses to a model with weights solved for (fd_score_matching.md 5.2).
enum class FitKind { kSliced, kSlicedVr, kExact, kDenoising, kApproximateBackprop, kCurvaturePropagation };

struct FitProblem {
  FitKind kind = FitKind::kExact;
  double sigma = 0;   ///< kDenoising: deviation of the noise
  Tensor noise = {};  ///< kDenoising: the noise of every row, drawn where undefined
};

/// An energy to differentiate on a batch. Rows before `first` were used up by the fit; the loss is that of the others.
struct Fit {
  ScalarFunction energy;
  std::int64_t first = 0;
  std::function<Traced(const Traced&)> traced;  ///< empty where the energy has no traced form
  /// The rows of a batch that are left.
  Tensor rows(const Tensor& x) const { return first == 0 ? x : x.narrow(0, first, x.size(0) - first); }
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
  /// The same for recursions that estimate the Hessian's diagonal, where the network supports it: [B] energies.
  virtual std::optional<Traced> traced(const Traced& x) const;
  /// Whether traced() returns a value.
  virtual bool has_trace() const { return false; }
  /// Energies and scores of rows without graph, by the parameters of this moment, where the network has a plan (nn/plan.h);
  /// else null.
  virtual std::shared_ptr<const RowFunction> rows() const { return nullptr; }
  /// What keeps it from a faster way that was asked for, for a person; empty where nothing does.
  virtual std::string plan_note() const { return {}; }
  /// The energy to differentiate on this batch; models that solve for weights on x override it. Default: the energy itself.
  virtual EnergyFn fitted(const Tensor& x) const;
  /// The same for the problem of an objective, in every form the energy has. Default: the energy itself, all rows left.
  virtual Fit fit(const Tensor& x, const FitProblem& problem, Rng& rng) const;
  /// For the optimiser and checkpoints only.
  virtual torch::nn::Module& module() = 0;
  /// Activations, pools and norms in order, for the guards of score-matching objectives.
  virtual std::vector<LayerNote> layers() const { return {}; }
  /// Shape of one event.
  virtual Shape event() const = 0;
};

/// What samplers take: the energy, which must outlive it, and its rows by the parameters of this moment.
Target target_of(const Energy& energy);

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
  bool antipodal = false;  ///< x and -x are the same point, so that an energy must be even
  /// n different training rows in the model's units, [n, *event]; empty where there are no data at hand.
  std::function<Tensor(std::int64_t n)> examples;
};

using MakeEnergy = std::function<std::unique_ptr<Energy>(const Config& options, const ModelContext& context)>;
const Table<MakeEnergy>& energy_table();

}  // namespace gibbsite
