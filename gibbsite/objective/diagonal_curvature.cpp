#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/objective/diagonal_curvature.h>
#include <gibbsite/objective/support.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

class DiagonalCurvatureMatching : public Objective {
 public:
  DiagonalCurvatureMatching(const DiagonalCurvatureOptions& options, const Energy& energy, bool propagated)
      : options_(options), energy_(energy), propagated_(propagated) {}

  Loss operator()(const Batch& batch, Rng& rng) const override {
    Tensor x = batch.x;
    if (options_.noise > 0) x = x + options_.noise * rng.normal(x.sizes(), x);
    const Fit f = fit(energy_, x, *fit_problem(), rng);
    const Traced start = start_trace(f.rows(x));
    const Traced energy = f.traced(start);
    // Of log p = −E.
    const Tensor seed = torch::full_like(energy.value, -1);
    const DiagonalCurvature c =
        propagated_ ? curvature_propagation(energy, start, seed, rng) : approximate_backprop(energy, start, seed);
    return plain_loss((0.5 * sum_event(c.gradient.square()) + sum_event(c.diagonal)).mean());
  }
  bool needs_second_derivative() const override { return true; }
  std::optional<FitProblem> fit_problem() const override {
    return FitProblem{propagated_ ? FitKind::kCurvaturePropagation : FitKind::kApproximateBackprop};
  }

 private:
  DiagonalCurvatureOptions options_;
  const Energy& energy_;
  bool propagated_;
};

std::unique_ptr<Objective> make(const char* name, const DiagonalCurvatureOptions& options, const ObjectiveParts& parts,
                                bool propagated) {
  const Energy& energy = require_energy(parts, name);
  if (!energy.has_trace())
    throw RequestError("objective", fmt::format("{} has no rule for a layer of this model", name),
                       "mlp, quadratic and dkef energies have one for each");
  return std::make_unique<DiagonalCurvatureMatching>(options, energy, propagated);
}

}  // namespace

std::unique_ptr<Objective> make_approximate_backprop(const DiagonalCurvatureOptions& options,
                                                     const ObjectiveParts& parts) {
  return make("approximate_backprop", options, parts, false);
}

std::unique_ptr<Objective> make_curvature_propagation(const DiagonalCurvatureOptions& options,
                                                      const ObjectiveParts& parts) {
  return make("curvature_propagation", options, parts, true);
}

}  // namespace gibbsite
