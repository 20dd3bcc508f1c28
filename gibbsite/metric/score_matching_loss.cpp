#include <gibbsite/metric/score_matching_loss.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <algorithm>

namespace gibbsite {

Tensor score_matching_terms(const ScalarFunction& energy, const Tensor& x, std::int64_t chunk) {
  std::vector<Tensor> parts;
  for (std::int64_t begin = 0; begin < x.size(0); begin += chunk) {
    const ValueGradientLaplacian at_rows =
        laplacian(energy, x.narrow(0, begin, std::min(chunk, x.size(0) - begin)).detach());
    const Tensor gradient = at_rows.gradient.detach().to(at::kCPU, at::kDouble).flatten(1);
    parts.push_back(gradient.square().sum(1) / 2 - at_rows.laplacian.detach().to(at::kCPU, at::kDouble));
  }
  return parts.empty() ? at::empty({0}, at::TensorOptions().dtype(at::kDouble)) : at::cat(parts);
}

Tensor score_matching_terms(const EnergyFn& energy, const Tensor& x, std::int64_t chunk) {
  return score_matching_terms(ScalarFunction{energy, {}}, x, chunk);
}

Estimate score_matching_loss(const ScalarFunction& energy, const Tensor& x, std::int64_t chunk) {
  return mean_estimate(score_matching_terms(energy, x, chunk));
}

Estimate score_matching_loss(const EnergyFn& energy, const Tensor& x, std::int64_t chunk) {
  return mean_estimate(score_matching_terms(energy, x, chunk));
}

Tensor sliced_score_matching_terms(const ScalarFunction& energy, const Tensor& x, std::int64_t probes, const Rng& rng,
                                   std::int64_t chunk) {
  const DerivativeMethod method = energy.jet ? DerivativeMethod::kJet : DerivativeMethod::kAutograd;
  std::vector<Tensor> parts;
  for (std::int64_t begin = 0; begin < x.size(0); begin += chunk) {
    const Tensor rows = x.narrow(0, begin, std::min(chunk, x.size(0) - begin)).detach();
    Rng directions = rng.at_row(begin);
    Tensor term;
    {
      const at::AutoGradMode enabled(true);
      const Tensor point = rows.detach().requires_grad_(true);
      const Tensor gradient = torch::autograd::grad({energy.value(point).sum()}, {point})[0];
      term = gradient.to(at::kCPU, at::kDouble).flatten(1).square().sum(1) / 2;
    }
    for (std::int64_t p = 0; p < probes; ++p) {
      const at::AutoGradMode mode(method == DerivativeMethod::kAutograd);
      const Tensor v = directions.rademacher(rows.sizes(), rows);
      const Tensor curvature = directional_derivative(energy, rows, v, 2, method);
      term = term - curvature.detach().to(at::kCPU, at::kDouble) / static_cast<double>(probes);
    }
    parts.push_back(term);
  }
  return parts.empty() ? at::empty({0}, at::TensorOptions().dtype(at::kDouble)) : at::cat(parts);
}

Estimate sliced_score_matching_loss(const ScalarFunction& energy, const Tensor& x, std::int64_t probes, const Rng& rng,
                                    std::int64_t chunk) {
  return mean_estimate(sliced_score_matching_terms(energy, x, probes, rng, chunk));
}

}  // namespace gibbsite
