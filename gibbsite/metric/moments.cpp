#include <gibbsite/core/error.h>
#include <gibbsite/metric/moments.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {
namespace {

Tensor as_double(const Tensor& x) { return x.detach().to(at::kCPU, at::kDouble).contiguous(); }

// Averages over independent units of a quantity and of its square.
struct Averages {
  Tensor mean, variance;  // variance of the average itself
};

Averages averages(const Tensor& sum, const Tensor& sum_of_squares, std::int64_t units) {
  const double n = static_cast<double>(units);
  const Tensor mean = sum / n;
  return {mean, ((sum_of_squares / n - mean.square()).clamp_min(0) / (n - 1))};
}

// First and second moments of x [N, d] (rows independent) or [S, C, d] (chains independent), about zero.
struct RawMoments {
  Averages first, second;
  std::int64_t units;
};

RawMoments raw_moments(const Tensor& x) {
  if (x.dim() == 2) {
    const Tensor square = x.square();
    return {averages(x.sum(0), square.sum(0), x.size(0)),
            averages(at::mm(x.t(), x), at::mm(square.t(), square), x.size(0)), x.size(0)};
  }
  const std::int64_t chains = x.size(1), d = x.size(2);
  const Tensor means = x.mean(0);
  Tensor sum = at::zeros({d, d}, x.options()), squares = at::zeros({d, d}, x.options());
  for (std::int64_t chain = 0; chain < chains; ++chain) {
    const Tensor states = x.select(1, chain);
    const Tensor product = at::mm(states.t(), states) / static_cast<double>(x.size(0));
    sum += product;
    squares += product.square();
  }
  return {averages(means.sum(0), means.square().sum(0), chains), averages(sum, squares, chains), chains};
}

Tensor z_scores(const Tensor& difference, const Tensor& variance) {
  const Tensor z = difference / variance.sqrt();
  return at::where(difference.eq(0), at::zeros_like(z), z);
}

void check_samples(const Tensor& samples) {
  if (samples.dim() != 2 && samples.dim() != 3) throw RequestError("moments", "needs samples [N, d] or [S, C, d]");
  if (samples.size(samples.dim() - 2) < 2) throw WorkError("moments", "needs two independent rows or chains at least");
}

void find_worst(MomentComparison& result) {
  result.worst_z = std::max(result.mean_z.abs().max().item<double>(), result.covariance_z.abs().max().item<double>());
}

}  // namespace

MomentComparison compare_moments(const Tensor& samples, const Tensor& mean, const Tensor& covariance) {
  check_samples(samples);
  MomentComparison result;
  result.reference_mean = as_double(mean);
  result.reference_covariance = as_double(covariance);
  const RawMoments moments = raw_moments(as_double(samples) - result.reference_mean);
  result.mean = moments.first.mean + result.reference_mean;
  result.covariance = moments.second.mean;
  result.mean_z = z_scores(moments.first.mean, moments.first.variance);
  result.covariance_z = z_scores(moments.second.mean - result.reference_covariance, moments.second.variance);
  result.independent = moments.units;
  find_worst(result);
  return result;
}

MomentComparison compare_moments_of_samples(const Tensor& samples, const Tensor& reference) {
  check_samples(samples);
  check_samples(reference);
  const auto centred = [](const Tensor& x, Tensor& mean) {
    mean = x.flatten(0, x.dim() - 2).mean(0);
    return raw_moments(x - mean);
  };
  // Products about the sample's own mean fall short of the covariance by the variance of that mean.
  const auto covariance_of = [](const RawMoments& moments) {
    return moments.second.mean * (static_cast<double>(moments.units) / static_cast<double>(moments.units - 1));
  };
  MomentComparison result;
  const RawMoments a = centred(as_double(samples), result.mean);
  const RawMoments b = centred(as_double(reference), result.reference_mean);
  result.covariance = covariance_of(a);
  result.reference_covariance = covariance_of(b);
  result.mean_z = z_scores(result.mean - result.reference_mean, a.first.variance + b.first.variance);
  result.covariance_z =
      z_scores(result.covariance - result.reference_covariance, a.second.variance + b.second.variance);
  result.independent = a.units;
  find_worst(result);
  return result;
}

}  // namespace gibbsite
