#include <gibbsite/model/fits_score.h>
#include <gibbsite/objective/denoising.h>
#include <gibbsite/objective/support.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

Tensor controlled_terms(const Tensor& noisy, const Tensor& clean, const Tensor& target) {
  return sum_event(0.5 * noisy.square() - target * (noisy - clean));
}

// The squared distance of the score from a target, whole or along directions.
class NoisyScore {
 public:
  NoisyScore(const NoisyScoreOptions& options, const ObjectiveParts& parts, const char* objective)
      : options_(options), method_(derivative_method_from_name(options.derivative)) {
    if (method_ == DerivativeMethod::kAutograd) {
      score_ = require_score(parts, objective);
      const bool of_energy = !parts.score && !parts.variational_score;
      if (of_energy) fits_ = dynamic_cast<const FitsScore*>(parts.energy);
      return;
    }
    energy_ = &require_energy(parts, objective);
    require_jet(energy_->has_jet(), options.derivative);
  }

  /// mean_b weight[b] ½‖s(x_b) - target_b‖², or its projections.
  Loss loss(const Tensor& x, const Tensor& target, const Tensor& weight, double progress, Rng& rng) const {
    if (method_ == DerivativeMethod::kAutograd) {
      const Tensor share = weight / static_cast<double>(x.size(0));
      if (fits_)
        if (const std::optional<Tensor> distance = fits_->score_distance(x, target, share))
          return plain_loss(*distance);
      const ScoreEval score = score_->at(x, rng);
      const Tensor residual = score.value - target;
      // The gradient of ½‖s - t‖² is that of (s - t)·s with the first factor frozen.
      return surrogate_loss(score.pullback(scale_rows(residual, share)),
                            (0.5 * share * sum_event(residual.square())).sum());
    }
    ScalarFunction f;
    f.value = energy_->fitted(x);
    if (method_ == DerivativeMethod::kJet) f.jet = scalar_function(*energy_).jet;
    Tensor sum;
    for (std::int64_t p = 0; p < options_.projections; ++p) {
      const Tensor v = options_.draw(x, rng);
      const Tensor slope = directional_derivative(f, x, v, 1, method_, true, options_.at(progress));
      const Tensor squared = (slope + sum_event(v * target)).square();
      sum = sum.defined() ? sum + squared : squared;
    }
    return plain_loss((weight * sum).mean() * (0.5 / static_cast<double>(options_.projections)));
  }

  /// mean_b weight[b] (½‖s(x_b + n_b)‖² - target_b·(s(x_b + n_b) - s(x_b))).
  Loss controlled(const Tensor& x, const Tensor& noise, const Tensor& target, const Tensor& weight, Rng& rng) const {
    Rng same = rng;
    const ScoreEval noisy = score_->at(x + noise, rng), clean = score_->at(x, same);
    const Tensor value = (weight * controlled_terms(noisy.value, clean.value, target)).mean();
    const Tensor share = weight / static_cast<double>(x.size(0));
    return surrogate_loss(
        noisy.pullback(scale_rows(noisy.value - target, share)) + clean.pullback(scale_rows(target, share)), value);
  }

 private:
  NoisyScoreOptions options_;
  DerivativeMethod method_;
  std::shared_ptr<const Score> score_;
  const Energy* energy_ = nullptr;
  const FitsScore* fits_ = nullptr;  // the energy behind the score, if it has a way of its own
};

class DenoisingScoreMatching : public Objective {
 public:
  DenoisingScoreMatching(const DenoisingScoreMatchingOptions& options, const ObjectiveParts& parts)
      : options_(options), law_(make_noise_law(options, options.sigma)), score_(options, parts, "dsm") {}
  Loss operator()(const Batch& batch, Rng& rng) const override {
    const Tensor noise = law_->sample(batch.x.sizes(), batch.x, rng);
    const Tensor weights = torch::full({batch.x.size(0)}, weight(batch.x), batch.x.options());
    if (options_.control_variate) return score_.controlled(batch.x, noise, law_->score(noise), weights, rng);
    return score_.loss(batch.x + noise, law_->score(noise), weights, batch.progress, rng);
  }

 private:
  DenoisingScoreMatchingOptions options_;
  std::unique_ptr<const NoiseLaw> law_;
  NoisyScore score_;

  double weight(const Tensor& x) const {
    const double variance = options_.sigma * options_.sigma;
    if (options_.weight == "variance") return variance;
    if (options_.weight == "variance_squared") return variance * variance;
    return options_.weight == "per_dimension" ? 2 * dimension_weight(options_.weight, x) : 1;
  }
};

class MultiscaleDenoising : public Objective {
 public:
  MultiscaleDenoising(const MultiscaleDenoisingOptions& options, const ObjectiveParts& parts)
      : options_(options), score_(options, parts, "mdsm") {}
  Loss operator()(const Batch& batch, Rng& rng) const override {
    const Tensor level = options_.levels(batch);
    const Tensor noise = scale_rows(rng.normal(batch.x.sizes(), batch.x), level);
    const Tensor target = noise / (-options_.sigma * options_.sigma);
    return score_.loss(batch.x + noise, target, 2 * options_.factor / level.square(), batch.progress, rng);
  }

 private:
  MultiscaleDenoisingOptions options_;
  NoisyScore score_;
};

}  // namespace

Tensor denoising_terms(const Score& score, const Tensor& x, const Tensor& noise, const Tensor& target,
                       bool control_variate, Rng& rng) {
  Rng same = rng;
  const Tensor noisy = score.at(x + noise, rng).value;
  if (!control_variate) return 0.5 * sum_event((noisy - target).square());
  return controlled_terms(noisy, score.at(x, same).value, target);
}

std::unique_ptr<Objective> make_denoising_score_matching(const DenoisingScoreMatchingOptions& options,
                                                         const ObjectiveParts& parts) {
  return std::make_unique<DenoisingScoreMatching>(options, parts);
}

std::unique_ptr<Objective> make_multiscale_denoising(const MultiscaleDenoisingOptions& options,
                                                     const ObjectiveParts& parts) {
  options.check();
  return std::make_unique<MultiscaleDenoising>(options, parts);
}

}  // namespace gibbsite
