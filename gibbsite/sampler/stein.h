// Particles that move together: Stein variational gradient descent (Liu and Wang 2016) and its mixture with Langevin
// dynamics, the stochastic particle-optimisation sampler (Zhang et al. 2018). Rows of a state are the particles.
//
// The kernel is k(x, y) = exp(-‖x - y‖²/(2b)) of ambient coordinates. On a manifold that inherits its metric from them the
// direction at x is the tangential part of the mean over y of k(s(y) + H(y)) + ∇_y k, H(y) the sum of accelerations of
// geodesics along a frame: Stein's operator for the kernel k(x, y) P_x P_y of tangent vectors.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/sampler/stepping_kernel.h>

namespace gibbsite {

/// max(½ median(‖x_i - x_j‖²)/log(B + 1), 1e-5), the bandwidth b of MVL's code; the median is over all pairs.
double median_bandwidth(const Tensor& x);

/// `bandwidth`, or median_bandwidth(x) where that is 0: what the options of particle samplers mean.
double bandwidth_or_median(double bandwidth, const Tensor& x);

/// The direction of every particle, [B, D]: the mean over j of k(x_j, x_i) score_j + ∇_{x_j} k(x_j, x_i). Differentiable in
/// `score`; x and b are constants. Throws RequestError on manifolds that do not inherit their metric, or with antipodal
/// symmetry.
Tensor stein_direction(const Tensor& x, const Tensor& score, double bandwidth, const Manifold* manifold = nullptr);

/// log of the mean over j of exp(-‖x_i - x_j‖²/(2b)), [B], up to a constant: a kernel density of the particles. Refuses the
/// same manifolds.
Tensor log_kernel_density(const Tensor& x, double bandwidth, const Manifold* manifold = nullptr);

struct SvgdOptions {
  double step_size = 0.1;
  double bandwidth = 0;
  void declare(OptionVisitor& o) {
    o.option("step_size", step_size, "η in x ← x + (η/2)·direction", positive());
    o.option("bandwidth", bandwidth, "b in the kernel exp(-‖x - y‖²/(2b)); 0: from the median distance",
             non_negative());
  }
};

/// Without noise: Step::noise is zero. Particles interact, so a chain depends on which others run beside it.
class Svgd : public SteppingKernel<Svgd, SvgdOptions> {
 public:
  explicit Svgd(const SvgdOptions& options);
  Step step(const Target& target, const Tensor& x, Rng& rng, Graph graph = Graph::kDetach,
            const Step* previous = nullptr) const override;
  bool interacts() const override { return true; }
};

struct SposOptions {
  double step_size = 0.1;
  double bandwidth = 0;
  double mix = 0.5;
  std::string noise = "flow";
  void declare(OptionVisitor& o) {
    o.option("step_size", step_size, "η in x ← x + (η/2)(mix·direction + (1 - mix)·score) + noise", positive());
    o.option("bandwidth", bandwidth, "b in the kernel exp(-‖x - y‖²/(2b)); 0: from the median distance",
             non_negative());
    o.option("mix", mix, "share α of Stein's direction", between(0, 1));
    o.option(
        "noise", noise,
        "flow: √((1 - α)η), the diffusion of the mixture; published: (1 - α)√η, as in MVL's code, whose law is not "
        "the target for 0 < α < 1",
        {"flow", "published"});
  }
};

/// The factor of √η on the noise.
double spos_noise_factor(const std::string& noise, double mix);

class Spos : public SteppingKernel<Spos, SposOptions> {
 public:
  explicit Spos(const SposOptions& options);
  Step step(const Target& target, const Tensor& x, Rng& rng, Graph graph = Graph::kDetach,
            const Step* previous = nullptr) const override;
  bool interacts() const override { return true; }
};

}  // namespace gibbsite
