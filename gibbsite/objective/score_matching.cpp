#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/objective/score_matching.h>
#include <gibbsite/objective/support.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

class ExactScoreMatching : public Objective {
 public:
  ExactScoreMatching(const ExactScoreMatchingOptions& options, const Energy& energy)
      : options_(options), energy_(energy) {}
  Loss operator()(const Batch& batch, Rng& rng) const override {
    Fit f = fit(energy_, batch.x, *fit_problem(), rng);
    if (options_.derivative == "autograd") f.energy.jet = {};
    const ValueGradientLaplacian d = laplacian(f.energy, f.rows(batch.x), true, options_.chunk);
    return plain_loss((0.5 * sum_event(d.gradient.square()) - d.laplacian).mean());
  }
  bool needs_second_derivative() const override { return true; }
  std::optional<FitProblem> fit_problem() const override { return FitProblem{FitKind::kExact}; }

 private:
  ExactScoreMatchingOptions options_;
  const Energy& energy_;
};

// What energies and score networks share: noise, directions, scaling.
class Sliced : public Objective {
 public:
  Sliced(const SlicedScoreMatchingOptions& options, bool variance_reduced)
      : options_(options),
        method_(derivative_method_from_name(options.derivative)),
        variance_reduced_(variance_reduced) {}

 protected:
  SlicedScoreMatchingOptions options_;
  DerivativeMethod method_;
  bool variance_reduced_;

  Tensor points(const Batch& batch, Rng& rng) const {
    if (options_.noise == 0) return batch.x;
    return batch.x + options_.noise * rng.normal(batch.x.sizes(), batch.x);
  }
  double scale(const Tensor& x) const {
    return dimension_weight(options_.weight, x) / static_cast<double>(options_.projections);
  }
};

class SlicedEnergy : public Sliced {
 public:
  SlicedEnergy(const SlicedScoreMatchingOptions& options, bool variance_reduced, const Energy& energy)
      : Sliced(options, variance_reduced), energy_(energy) {}

  Loss operator()(const Batch& batch, Rng& rng) const override {
    const Tensor whole = points(batch, rng);
    const Fit f = fit(energy_, whole, *fit_problem(), rng);
    const Tensor x = f.rows(whole);
    const FiniteDifference difference = options_.at(batch.progress);
    Tensor sum;
    for (std::int64_t p = 0; p < options_.projections; ++p) {
      const Tensor one = one_projection(f.energy, x, options_.draw(x, rng), difference);
      sum = sum.defined() ? sum + one : one;
    }
    return plain_loss(sum.mean() * scale(x));
  }
  bool needs_second_derivative() const override { return true; }
  std::optional<FitProblem> fit_problem() const override {
    return FitProblem{variance_reduced_ ? FitKind::kSlicedVr : FitKind::kSliced};
  }

 private:
  const Energy& energy_;

  Tensor one_projection(const ScalarFunction& f, const Tensor& x, const Tensor& v,
                        const FiniteDifference& difference) const {
    if (!variance_reduced_) {
      const SecondOrder s = second_order(f, x, v, method_, difference);
      return 0.5 * s.first.square() - s.second;
    }
    const at::AutoGradMode enabled(true);
    const Tensor point = x.detach().requires_grad_(true);
    const Tensor gradient = torch::autograd::grad({f.value(point).sum()}, {point}, {}, true, true)[0];
    const Tensor norm = 0.5 * sum_event(gradient.square());
    if (method_ != DerivativeMethod::kAutograd) return norm - second_order(f, x, v, method_, difference).second;
    const Tensor curvature = torch::autograd::grad({(gradient * v).sum()}, {point}, {}, true, true)[0];
    return norm - sum_event(curvature * v);
  }
};

// The sums over projections and examples of a sliced loss of a score.
class ScoreSlices {
 public:
  ScoreSlices(const SlicedScoreMatchingOptions& options, bool variance_reduced, const Score& score, Tensor weight)
      : options_(options),
        method_(derivative_method_from_name(options.derivative)),
        variance_reduced_(variance_reduced),
        score_(score),
        weight_(std::move(weight)) {}

  Loss loss(const Tensor& x, double scale, double progress, Rng& rng) const {
    Tensor surrogate, value;
    for (std::int64_t p = 0; p < options_.projections; ++p) {
      const auto [backward, loss] = one_projection(x, options_.draw(x, rng), progress, rng);
      surrogate = surrogate.defined() ? surrogate + backward : backward;
      value = value.defined() ? value + loss : loss;
    }
    const double factor = scale / static_cast<double>(x.size(0));
    return surrogate_loss(surrogate * factor, value * factor);
  }

 private:
  const SlicedScoreMatchingOptions& options_;
  DerivativeMethod method_;
  bool variance_reduced_;
  const Score& score_;
  Tensor weight_;  // [B], undefined for ones

  /// z with row b times weight[b].
  Tensor weighted(const Tensor& z) const {
    if (!weight_.defined()) return z;
    return z.dim() == 1 ? z * weight_ : scale_rows(z, weight_);
  }

  /// The part of the loss without a derivative, ½‖s‖² or ½(v·s)² of a batch, and its gradient in s.
  std::pair<Tensor, Tensor> norm(const Tensor& s, const Tensor& v) const {
    if (variance_reduced_) return {0.5 * sum_event(s.square()), s};
    const Tensor along = sum_event(s * v);
    return {0.5 * along.square(), scale_rows(v, along)};
  }

  /// Sums over the batch: what to differentiate, and the loss.
  std::pair<Tensor, Tensor> one_projection(const Tensor& x, const Tensor& v, double progress, Rng& rng) const {
    if (method_ == DerivativeMethod::kJet) {
      const Jet jet = *score_.at(seed_jet(x, v, 1), rng);
      const Tensor loss = weighted(norm(jet.slice(0), v).first + sum_event(jet.slice(1) * v)).sum();
      return {loss, loss};
    }
    if (method_ == DerivativeMethod::kAutograd) {
      const at::AutoGradMode enabled(true);
      const Tensor point = x.detach().requires_grad_(true);
      const ScoreEval s = score_.at(point, rng);
      const auto [half, seed] = norm(s.value, v);
      const Tensor slope = torch::autograd::grad({s.pullback(v)}, {point}, {}, true, true)[0];
      const Tensor curvature = weighted(sum_event(slope * v)).sum();
      return {s.pullback(weighted(seed)) + curvature, weighted(half).sum() + curvature.detach()};
    }
    return finite_difference(x, v, options_.at(progress), rng);
  }

  // ½ of the norm's gradient at the mean of s(x ± step), and ± half the scaled direction, are the seeds of s(x ± step).
  std::pair<Tensor, Tensor> finite_difference(const Tensor& x, const Tensor& v, const FiniteDifference& difference,
                                              Rng& rng) const {
    const Displacement d = displacement(v, difference.epsilon);
    const Tensor slope = scale_rows(v, 0.5 * d.scale);
    const auto both = [&](const Tensor& plus, const Tensor& minus) {
      const auto [half, gradient] = norm(0.5 * (plus + minus), v);
      const Tensor loss = weighted(half + sum_event(slope * (plus - minus))).sum();
      return std::make_tuple(loss, weighted(0.5 * gradient + slope), weighted(0.5 * gradient - slope));
    };
    if (difference.batched) {
      const ScoreEval s = score_.at(at::cat({x + d.step, x - d.step}), rng);
      const auto [loss, plus, minus] = both(s.value.narrow(0, 0, x.size(0)), s.value.narrow(0, x.size(0), x.size(0)));
      return {s.pullback(at::cat({plus, minus})), loss};
    }
    Rng same = rng;
    const ScoreEval up = score_.at(x + d.step, rng), down = score_.at(x - d.step, same);
    const auto [loss, plus, minus] = both(up.value, down.value);
    return {up.pullback(plus) + down.pullback(minus), loss};
  }
};

class SlicedScore : public Sliced {
 public:
  SlicedScore(const SlicedScoreMatchingOptions& options, bool variance_reduced, const Score& score)
      : Sliced(options, variance_reduced), score_(score) {}

  Loss operator()(const Batch& batch, Rng& rng) const override {
    const Tensor x = points(batch, rng);
    return sliced_score_loss(options_, variance_reduced_, score_, x, {}, batch.progress, rng);
  }
  bool differentiates_score() const override { return true; }
  bool needs_density() const override { return true; }

 private:
  const Score& score_;
};

std::unique_ptr<Objective> make_sliced(const SlicedScoreMatchingOptions& options, const ObjectiveParts& parts,
                                       const char* name, bool variance_reduced) {
  if (parts.score) {
    require_jet(parts.score->has_jet(), options.derivative);
    return std::make_unique<SlicedScore>(options, variance_reduced, *parts.score);
  }
  const Energy& energy = require_energy(parts, name);
  require_jet(energy.has_jet(), options.derivative);
  return std::make_unique<SlicedEnergy>(options, variance_reduced, energy);
}

}  // namespace

Loss sliced_score_loss(const SlicedScoreMatchingOptions& options, bool variance_reduced, const Score& score,
                       const Tensor& x, const Tensor& weight, double progress, Rng& rng) {
  const double scale = dimension_weight(options.weight, x) / static_cast<double>(options.projections);
  return ScoreSlices(options, variance_reduced, score, weight).loss(x, scale, progress, rng);
}

std::unique_ptr<Objective> make_exact_score_matching(const ExactScoreMatchingOptions& options,
                                                     const ObjectiveParts& parts) {
  const Energy& energy = require_energy(parts, "exact_score_matching");
  require_jet(energy.has_jet(), options.derivative);
  return std::make_unique<ExactScoreMatching>(options, energy);
}

std::unique_ptr<Objective> make_sliced_score_matching(const SlicedScoreMatchingOptions& options,
                                                      const ObjectiveParts& parts) {
  return make_sliced(options, parts, "ssm", false);
}

std::unique_ptr<Objective> make_sliced_score_matching_vr(const SlicedScoreMatchingOptions& options,
                                                         const ObjectiveParts& parts) {
  return make_sliced(options, parts, "ssm_vr", true);
}

}  // namespace gibbsite
