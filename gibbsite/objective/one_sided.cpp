#include <gibbsite/objective/one_sided.h>
#include <gibbsite/objective/support.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

Tensor apply(DropFunction function, const Tensor& drop) {
  switch (function) {
    case DropFunction::kQuadratic: return 2 * drop + 0.5 * drop.square();
    case DropFunction::kExponential: return 4 * at::expm1(0.5 * drop);
    // softplus(Δ) - log 2 without cancellation at small Δ.
    case DropFunction::kLogistic: return 4 * at::log1p(0.5 * at::expm1(-drop.abs())) + 2 * (drop + drop.abs());
  }
  return {};
}

class OneSided : public Objective {
 public:
  OneSided(const OneSidedOptions& options, DropFunction function, const Energy& energy)
      : options_(options), function_(function), energy_(energy) {}

  Loss operator()(const Batch& batch, Rng& rng) const override {
    const Tensor& x = batch.x;
    const EnergyFn energy = energy_.fitted(x);
    Tensor sum;
    for (std::int64_t p = 0; p < options_.projections; ++p) {
      const Displacement d = displacement(options_.draw(x, rng), options_.at(batch.progress).epsilon);
      const Tensor one = apply(function_, drops(energy, x, d.step)).mean(0) * d.scale.square();
      sum = sum.defined() ? sum + one : one;
    }
    const double factor = dimension_weight(options_.weight, x) / static_cast<double>(options_.projections);
    return plain_loss(sum.mean() * factor);
  }
  bool needs_second_derivative() const override { return true; }

 private:
  OneSidedOptions options_;
  DropFunction function_;
  const Energy& energy_;

  /// E(x) - E(x + step), and with -step: [1 or 2, B].
  Tensor drops(const EnergyFn& energy, const Tensor& x, const Tensor& step) const {
    std::vector<Tensor> points = {x, x + step};
    if (options_.symmetric) points.push_back(x - step);
    const auto n = static_cast<std::int64_t>(points.size());
    if (options_.batched) {
      const Tensor values = energy(at::cat(points)).view({n, x.size(0)});
      return values[0] - values.narrow(0, 1, n - 1);
    }
    std::vector<Tensor> values;
    values.reserve(points.size());
    for (const Tensor& point : points) values.push_back(energy(point));
    const Tensor stacked = at::stack(values);
    return stacked[0] - stacked.narrow(0, 1, n - 1);
  }
};

}  // namespace

std::unique_ptr<Objective> make_one_sided(const OneSidedOptions& options, DropFunction function,
                                          const ObjectiveParts& parts, const char* objective) {
  return std::make_unique<OneSided>(options, function, require_energy(parts, objective));
}

std::unique_ptr<Objective> make_minimum_probability_flow(const MinimumProbabilityFlowOptions& options,
                                                         const ObjectiveParts& parts) {
  const bool exponential = options.form == "exponential";
  return make_one_sided(options, exponential ? DropFunction::kExponential : DropFunction::kQuadratic, parts, "mpf");
}

}  // namespace gibbsite
