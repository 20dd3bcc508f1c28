#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/objective/score_matching.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

const Energy& require_energy(const ObjectiveParts& parts, const char* objective) {
  if (!parts.energy) throw RequestError("objective", fmt::format("{} needs an energy model", objective));
  return *parts.energy;
}

void require_jet(const Energy& energy, const std::string& derivative) {
  if (derivative == "jet" && !energy.has_jet())
    throw RequestError("objective.derivative", "this model has no jet form", "use derivative = \"autograd\"");
}

NamedTensors logged(const Tensor& loss, NamedTensors more = {}) {
  more.insert(more.begin(), {"loss", loss.detach()});
  return more;
}

class ExactScoreMatching : public Objective {
 public:
  ExactScoreMatching(const ExactScoreMatchingOptions& options, const Energy& energy)
      : options_(options), energy_(energy) {}
  Loss operator()(const Batch& batch, Rng&) const override {
    ScalarFunction f;
    f.value = energy_.fitted(batch.x);
    if (options_.derivative == "jet") f.jet = scalar_function(energy_).jet;
    const ValueGradientLaplacian d = laplacian(f, batch.x, true, options_.chunk);
    const Tensor loss = (0.5 * sum_event(d.gradient.square()) - d.laplacian).mean();
    return {loss, logged(loss)};
  }
  bool needs_second_derivative() const override { return true; }

 private:
  ExactScoreMatchingOptions options_;
  const Energy& energy_;
};

class SlicedScoreMatching : public Objective {
 public:
  SlicedScoreMatching(const SlicedScoreMatchingOptions& options, const Energy& energy, bool variance_reduced)
      : options_(options),
        method_(derivative_method_from_name(options.derivative)),
        energy_(energy),
        variance_reduced_(variance_reduced) {}

  Loss operator()(const Batch& batch, Rng& rng) const override {
    Tensor x = batch.x;
    if (options_.noise > 0) x = x + options_.noise * rng.normal(x.sizes(), x);
    const auto d = static_cast<double>(x[0].numel());
    ScalarFunction f;
    f.value = energy_.fitted(x);
    if (method_ == DerivativeMethod::kJet) f.jet = scalar_function(energy_).jet;
    Tensor per_example;
    for (std::int64_t p = 0; p < options_.projections; ++p) {
      const Tensor one = one_projection(f, x, direction(x, d, rng));
      per_example = per_example.defined() ? per_example + one : one;
    }
    const double scale = (options_.weight == "per_dimension" ? 1 / d : 1) / static_cast<double>(options_.projections);
    const Tensor loss = per_example.mean() * scale;
    return {loss, logged(loss)};
  }
  bool needs_second_derivative() const override { return true; }

 private:
  SlicedScoreMatchingOptions options_;
  DerivativeMethod method_;
  const Energy& energy_;
  bool variance_reduced_;

  Tensor direction(const Tensor& x, double d, Rng& rng) const {
    if (options_.projection == "rademacher") return rng.rademacher(x.sizes(), x);
    const Tensor g = rng.normal(x.sizes(), x);
    if (options_.projection == "gaussian") return g;
    return scale_rows(g, std::sqrt(d) / g.flatten(1).norm(2, 1));
  }

  Tensor one_projection(const ScalarFunction& f, const Tensor& x, const Tensor& v) const {
    // A finite difference displaces by `epsilon`, whatever the length of v.
    FiniteDifference difference;
    difference.epsilon = options_.epsilon;
    difference.batched = options_.batched;
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

// Σ ‖s(x + n) + n / variance‖² per example, with graph through the score.
Tensor denoising_residual(const Energy& energy, const Tensor& x, const Tensor& noise, double variance) {
  const at::AutoGradMode enabled(true);
  const Tensor point = (x + noise).detach().requires_grad_(true);
  const Tensor gradient = torch::autograd::grad({energy.fitted(point)(point).sum()}, {point}, {}, true, true)[0];
  return sum_event((noise / variance - gradient).square());
}

class DenoisingScoreMatching : public Objective {
 public:
  DenoisingScoreMatching(const DenoisingScoreMatchingOptions& options, const Energy& energy)
      : options_(options), energy_(energy) {}
  Loss operator()(const Batch& batch, Rng& rng) const override {
    const double variance = options_.sigma * options_.sigma;
    const Tensor noise = options_.sigma * rng.normal(batch.x.sizes(), batch.x);
    const Tensor loss =
        (0.5 * weight(batch.x, variance)) * denoising_residual(energy_, batch.x, noise, variance).mean();
    return {loss, logged(loss)};
  }

 private:
  DenoisingScoreMatchingOptions options_;
  const Energy& energy_;

  double weight(const Tensor& x, double variance) const {
    if (options_.weight == "variance") return variance;
    if (options_.weight == "variance_squared") return variance * variance;
    if (options_.weight == "per_dimension") return 2 / static_cast<double>(x[0].numel());
    return 1;
  }
};

class MultiscaleDenoising : public Objective {
 public:
  MultiscaleDenoising(const MultiscaleDenoisingOptions& options, const Energy& energy)
      : options_(options), energy_(energy) {}
  Loss operator()(const Batch& batch, Rng& rng) const override {
    const std::int64_t rows = batch.x.size(0), whole = batch.global_size > 0 ? batch.global_size : rows;
    // The grid runs over the global batch, so that shards of a batch use their own part of it.
    const Tensor position = torch::arange(batch.first_row, batch.first_row + rows, batch.x.options());
    const double width = whole > 1 ? (options_.sigma_max - options_.sigma_min) / static_cast<double>(whole - 1) : 0;
    const Tensor level = options_.sigma_min + width * position;
    const Tensor noise = scale_rows(rng.normal(batch.x.sizes(), batch.x), level);
    const Tensor residual = denoising_residual(energy_, batch.x, noise, options_.sigma * options_.sigma);
    const Tensor loss = options_.factor * (residual / level.square()).mean();
    return {loss, logged(loss)};
  }

 private:
  MultiscaleDenoisingOptions options_;
  const Energy& energy_;
};

}  // namespace

std::unique_ptr<Objective> make_exact_score_matching(const ExactScoreMatchingOptions& options,
                                                     const ObjectiveParts& parts) {
  const Energy& energy = require_energy(parts, "exact_score_matching");
  require_jet(energy, options.derivative);
  return std::make_unique<ExactScoreMatching>(options, energy);
}

std::unique_ptr<Objective> make_sliced_score_matching(const SlicedScoreMatchingOptions& options,
                                                      const ObjectiveParts& parts) {
  const Energy& energy = require_energy(parts, "ssm");
  require_jet(energy, options.derivative);
  return std::make_unique<SlicedScoreMatching>(options, energy, false);
}

std::unique_ptr<Objective> make_sliced_score_matching_vr(const SlicedScoreMatchingOptions& options,
                                                         const ObjectiveParts& parts) {
  const Energy& energy = require_energy(parts, "ssm_vr");
  require_jet(energy, options.derivative);
  return std::make_unique<SlicedScoreMatching>(options, energy, true);
}

std::unique_ptr<Objective> make_denoising_score_matching(const DenoisingScoreMatchingOptions& options,
                                                         const ObjectiveParts& parts) {
  return std::make_unique<DenoisingScoreMatching>(options, require_energy(parts, "dsm"));
}

std::unique_ptr<Objective> make_multiscale_denoising(const MultiscaleDenoisingOptions& options,
                                                     const ObjectiveParts& parts) {
  const Energy& energy = require_energy(parts, "mdsm");
  if (options.sigma_max < options.sigma_min)
    throw RequestError("objective.sigma_max",
                       fmt::format("{} is below sigma_min {}", options.sigma_max, options.sigma_min));
  return std::make_unique<MultiscaleDenoising>(options, energy);
}

}  // namespace gibbsite
