#include <gibbsite/calculus/kernel.h>
#include <gibbsite/core/error.h>
#include <gibbsite/model/score_estimator.h>
#include <torch/types.h>

#include <algorithm>
#include <utility>

namespace gibbsite {
namespace {

struct KernelMatrix {
  Tensor values;    // K, [G, M, M]
  Tensor gradient;  // R, [G, M, d]
};

KernelMatrix kernel_matrix(const Tensor& x) {
  const Tensor squared = squared_distances(x, x);
  squared.diagonal(0, 1, 2).zero_();
  const Tensor width = median_distance(squared);
  if (width.eq(0).any().item<bool>())
    throw WorkError("score estimator", "at least half of the samples are equal, so that the kernel has no width");
  const Tensor precision = width.square().reciprocal().view({-1, 1, 1});
  const Tensor k = (squared * (-0.5 * precision)).exp_();
  // ∂K_ij/∂x_j = K_ij (x_i - x_j) / w².
  const Tensor centred = x - x.mean(-2, true);
  return {k, precision * (k.sum(-1, true) * centred - k.bmm(centred))};
}

class KernelEstimator : public ScoreEstimator {
 public:
  Tensor at(const Tensor& samples) const override {
    const torch::NoGradGuard no_grad;
    if (samples.dim() < 2 || samples.size(-2) < 2)
      throw WorkError("score estimator", "needs groups of at least two samples, [..., M, d]");
    const Tensor x = samples.detach().reshape({-1, samples.size(-2), samples.size(-1)});
    return scores(kernel_matrix(x)).view(samples.sizes());
  }

 private:
  virtual Tensor scores(const KernelMatrix& kernel) const = 0;
};

class Stein : public KernelEstimator {
 public:
  explicit Stein(const SteinEstimatorOptions& options) : options_(options) {}

 private:
  SteinEstimatorOptions options_;
  Tensor scores(const KernelMatrix& kernel) const override {
    const Tensor k = kernel.values.clone();
    k.diagonal(0, 1, 2).add_(options_.ridge);
    return at::cholesky_solve(kernel.gradient, at::linalg_cholesky(k)).neg_();
  }
};

class Spectral : public KernelEstimator {
 public:
  explicit Spectral(const SpectralEstimatorOptions& options) : options_(options) {}

 private:
  SpectralEstimatorOptions options_;
  Tensor scores(const KernelMatrix& kernel) const override {
    const auto [ascending, vectors] = at::linalg_eigh(kernel.values);
    const Tensor values = ascending.flip(-1);
    const Tensor u = vectors.flip(-1);
    Tensor kept;
    if (options_.eigenvectors > 0) {
      kept = at::zeros_like(values);
      kept.narrow(1, 0, std::min(options_.eigenvectors, values.size(1))).fill_(1);
    } else {
      kept = (values.cumsum(-1) / values.sum(-1, true)).lt(options_.share).to(values.scalar_type());
      kept.select(1, 0).fill_(1);
    }
    // Weights of dropped eigenvectors are zero, whatever rounding made of their eigenvalues.
    const Tensor weight = at::where(kept > 0, values.reciprocal(), at::zeros_like(values));
    return u.bmm(weight.unsqueeze(-1) * u.transpose(1, 2).bmm(kernel.gradient)).neg_();
  }
};

}  // namespace

Tensor median_distance(const Tensor& squared_distances) {
  const Tensor all = squared_distances.flatten(-2);
  const std::int64_t n = all.size(-1);
  return std::get<0>(all.kthvalue(n - n / 2 + 1, -1)).sqrt();
}

std::unique_ptr<ScoreEstimator> make_stein_estimator(const SteinEstimatorOptions& options) {
  return std::make_unique<Stein>(options);
}

std::unique_ptr<ScoreEstimator> make_spectral_estimator(const SpectralEstimatorOptions& options) {
  return std::make_unique<Spectral>(options);
}

}  // namespace gibbsite
