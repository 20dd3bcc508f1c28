#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/metric/auroc.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace gibbsite {
namespace {

std::vector<double> numbers(const Tensor& values, const char* side) {
  const Tensor flat = values.detach().to(at::kCPU, at::kDouble).contiguous().flatten();
  if (flat.numel() == 0) throw WorkError("auroc", fmt::format("no {} points", side));
  if (flat.isnan().any().item<bool>()) throw WorkError("auroc", fmt::format("a {} score is not a number", side));
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

// Ranks 1…n; equal values share the mean of their ranks.
std::vector<double> mid_ranks(const std::vector<double>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (std::size_t begin = 0; begin < order.size();) {
    std::size_t end = begin;
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    for (std::size_t i = begin; i < end; ++i) ranks[order[i]] = 0.5 * static_cast<double>(begin + end + 1);
    begin = end;
  }
  return ranks;
}

double variance(const std::vector<double>& values) {
  if (values.size() < 2) return 0;
  const double n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double sum = 0;
  for (const double value : values) sum += (value - mean) * (value - mean);
  return sum / (n - 1);
}

}  // namespace

Estimate auroc(const Tensor& positive, const Tensor& negative) {
  const std::vector<double> p = numbers(positive, "positive"), n = numbers(negative, "negative");
  std::vector<double> pooled = p;
  pooled.insert(pooled.end(), n.begin(), n.end());
  const std::vector<double> ranks = mid_ranks(pooled), among_p = mid_ranks(p), among_n = mid_ranks(n);
  const double size_p = static_cast<double>(p.size()), size_n = static_cast<double>(n.size());
  // Share of negatives below each positive, and of positives above each negative, ties counted half.
  std::vector<double> below(p.size()), above(n.size());
  for (std::size_t i = 0; i < p.size(); ++i) below[i] = (ranks[i] - among_p[i]) / size_n;
  for (std::size_t j = 0; j < n.size(); ++j) above[j] = 1 - (ranks[p.size() + j] - among_n[j]) / size_p;
  Estimate result;
  result.count = static_cast<std::int64_t>(pooled.size());
  result.value = std::accumulate(below.begin(), below.end(), 0.0) / size_p;
  const bool separated = result.value <= 0 || result.value >= 1;
  result.standard_error =
      separated ? 1 / (std::min(size_p, size_n) + 2) : std::sqrt(variance(below) / size_p + variance(above) / size_n);
  return result;
}

ScoredPoints score_points(const EnergyFn& energy, const Tensor& x, std::int64_t chunk) {
  const at::AutoGradMode with_grad(true);
  std::vector<Tensor> values, norms;
  for (std::int64_t begin = 0; begin < x.size(0); begin += chunk) {
    const Tensor part = x.narrow(0, begin, std::min(chunk, x.size(0) - begin)).detach().requires_grad_(true);
    const Tensor value = energy(part);
    const Tensor gradient = torch::autograd::grad({value.sum()}, {part})[0];
    values.push_back(value.detach().to(at::kCPU, at::kDouble));
    norms.push_back(gradient.to(at::kCPU, at::kDouble).flatten(1).square().sum(1).sqrt());
  }
  if (values.empty()) throw WorkError("score", "no points");
  return {at::cat(values), at::cat(norms)};
}

std::string detection_score_name(DetectionScore score) {
  switch (score) {
    case DetectionScore::kLogDensity: return "log_density";
    case DetectionScore::kGradientNorm: return "gradient_norm";
    case DetectionScore::kTypicality: return "typicality";
  }
  return "";
}

Estimate detection_auroc(DetectionScore score, const ScoredPoints& in, const ScoredPoints& out,
                         double training_energy) {
  switch (score) {
    case DetectionScore::kLogDensity: return auroc(in.energy.neg(), out.energy.neg());
    case DetectionScore::kGradientNorm: return auroc(in.gradient_norm.neg(), out.gradient_norm.neg());
    case DetectionScore::kTypicality: break;
  }
  return auroc((out.energy - training_energy).abs(), (in.energy - training_energy).abs());
}

}  // namespace gibbsite
