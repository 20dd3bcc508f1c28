#include <gibbsite/metric/score_matching_loss.h>
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

}  // namespace gibbsite
