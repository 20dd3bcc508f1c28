#include <gibbsite/calculus/kernel.h>
#include <gibbsite/core/error.h>
#include <gibbsite/sampler/langevin.h>
#include <gibbsite/sampler/stein.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {
namespace {

void require_isometric(const Manifold* manifold, const char* who) {
  if (manifold && (!manifold->isometric() || manifold->antipodal()))
    throw RequestError(who,
                       "needs a manifold that inherits its metric from ambient coordinates and no antipodal symmetry",
                       "sphere, torus, euclidean and their products are such");
}

// Σ γ'' over geodesics along a frame.
Tensor mean_curvature(const Manifold& manifold, const Tensor& x) {
  Tensor sum = torch::zeros_like(x);
  for (std::int64_t k = 0; k < manifold.dimension(); ++k) {
    Tensor unit = torch::zeros({x.size(0), manifold.dimension()}, x.options());
    unit.select(1, k).fill_(1);
    sum = sum + manifold.acceleration(x, manifold.lift(x, unit));
  }
  return sum;
}

Tensor flat(const Tensor& x) { return x.reshape({x.size(0), -1}); }

Tensor tangent_normal(const Manifold* manifold, const Tensor& x, Rng& rng) {
  return manifold ? manifold->tangent_noise(x, rng) : rng.normal(x.sizes(), x.detach());
}

}  // namespace

double bandwidth_or_median(double bandwidth, const Tensor& x) {
  return bandwidth > 0 ? bandwidth : median_bandwidth(x);
}

double median_bandwidth(const Tensor& x) {
  const torch::NoGradGuard no_graph;
  const double median = squared_distances(flat(x.detach()), flat(x.detach())).flatten().median().item<double>();
  return std::max(0.5 * median / std::log(static_cast<double>(x.size(0)) + 1), 1e-5);
}

Tensor stein_direction(const Tensor& x, const Tensor& score, double bandwidth, const Manifold* manifold) {
  require_isometric(manifold, "stein_direction");
  const Tensor at = x.detach(), rows = flat(at), centred = rows - rows.mean(0);
  const Tensor k = (squared_distances(rows, rows) * (-0.5 / bandwidth)).exp();
  // ∇_{x_j} k(x_j, x_i) = k (x_i - x_j)/b.
  const Tensor repulsion = (centred * k.sum(1, true) - k.mm(centred)) / bandwidth;
  const Tensor pull = manifold ? score + mean_curvature(*manifold, at) : flat(score);
  if (!manifold) return ((k.mm(pull) + repulsion) / static_cast<double>(x.size(0))).view_as(x);
  // The tangential part at y of the kernel's gradient: Σ_j k_ij P_j (x_i - x_j)/b, with P_j = I - N_j and the normal part
  // found by linearity in x_i for each pair.
  Tensor spread = torch::zeros_like(rows);
  const std::int64_t n = rows.size(0);
  for (std::int64_t j = 0; j < n; ++j) {
    const Tensor y = rows.narrow(0, j, 1).expand_as(rows);
    spread = spread + k.select(1, j).unsqueeze(1) * manifold->project_tangent(y, rows - y);
  }
  return manifold->project_tangent(at, (k.mm(pull) + spread / bandwidth) / static_cast<double>(n));
}

Tensor log_kernel_density(const Tensor& x, double bandwidth, const Manifold* manifold) {
  require_isometric(manifold, "kernel density");
  return torch::logsumexp(squared_distances(flat(x), flat(x)) * (-0.5 / bandwidth), 1) -
         std::log(static_cast<double>(x.size(0)));
}

Svgd::Svgd(const SvgdOptions& options) : SteppingKernel(options, "svgd") {}

Step Svgd::step(const Target& target, const Tensor& x, Rng& /*rng*/, Graph graph, const Step* /*previous*/) const {
  torch::AutoGradMode record(graph == Graph::kKeep);
  const double bandwidth = bandwidth_or_median(options_.bandwidth, x);
  const Manifold* manifold = target.manifold.get();
  Step step;
  step.noise = torch::zeros_like(x.detach());
  step.x = langevin_update(graph == Graph::kKeep ? x : x.detach(),
                           stein_direction(x, score_of(target, x, graph), bandwidth, manifold), step.noise,
                           options_.step_size, manifold);
  return step;
}

double spos_noise_factor(const std::string& noise, double mix) {
  return noise == "flow" ? std::sqrt(1 - mix) : 1 - mix;
}

Spos::Spos(const SposOptions& options) : SteppingKernel(options, "spos") {}

Step Spos::step(const Target& target, const Tensor& x, Rng& rng, Graph graph, const Step* /*previous*/) const {
  torch::AutoGradMode record(graph == Graph::kKeep);
  const double bandwidth = bandwidth_or_median(options_.bandwidth, x);
  const Manifold* manifold = target.manifold.get();
  const Tensor score = score_of(target, x, graph);
  const Tensor drift = options_.mix * stein_direction(x, score, bandwidth, manifold) + (1 - options_.mix) * score;
  Step step;
  step.noise = tangent_normal(manifold, x, rng) *
               (std::sqrt(options_.step_size) * spos_noise_factor(options_.noise, options_.mix));
  step.x = langevin_update(graph == Graph::kKeep ? x : x.detach(), drift, step.noise, options_.step_size, manifold);
  return step;
}

}  // namespace gibbsite
