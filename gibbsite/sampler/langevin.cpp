#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gibbsite/core/error.h>
#include <gibbsite/sampler/langevin.h>
#include <gibbsite/sampler/plain.h>
#include <gibbsite/sampler/validated.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

template <class T>
void update(const Tensor& x, const Tensor& score, const Tensor& noise, double half, Tensor& out) {
  const T* from = x.data_ptr<T>();
  const T* drift = score.data_ptr<T>();
  const T* kick = noise.data_ptr<T>();
  T* to = out.data_ptr<T>();
  const T factor = static_cast<T>(half);
  at::parallel_for(0, x.numel(), 1 << 15, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) to[i] = (factor * drift[i] + from[i]) + kick[i];
  });
}

}  // namespace

Tensor langevin_update(const Tensor& x, const Tensor& score, const Tensor& noise, double step_size,
                       const Manifold* manifold) {
  const double half = step_size / 2;
  if (manifold) return manifold->exp(x, score * half + noise);
  if (torch::GradMode::is_enabled() && (x.requires_grad() || score.requires_grad())) return (score * half + x) + noise;
  if (plain(x, x) && plain(score, x) && plain(noise, x) && score.sizes() == x.sizes() && noise.sizes() == x.sizes()) {
    Tensor out = torch::empty_like(x);
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "langevin_update",
                               [&] { update<scalar_t>(x, score, noise, half, out); });
    return out;
  }
  // A separate product: the fused form of add(x, score, alpha) rounds differently at the ends of vectors.
  return score.mul(half).add_(x).add_(noise);
}

Langevin::Langevin(const LangevinOptions& options)
    : options_(validated(options, "langevin")), noise_factor_(std::sqrt(options.step_size) * options.noise_scale) {
  const std::vector<double>& clamp = options_.clamp;
  if (!clamp.empty() && !(clamp.size() == 2 && clamp[0] < clamp[1]))
    throw RequestError("langevin.clamp",
                       fmt::format("expected [] or [low, high] with low < high, got [{}]", fmt::join(clamp, ", ")));
}

std::shared_ptr<const Kernel> Langevin::with_step_size(double step_size) const {
  LangevinOptions options = options_;
  options.step_size = step_size;
  return std::make_shared<Langevin>(options);
}

Step Langevin::step(const Target& target, const Tensor& x, Rng& rng, Graph graph, const Step* previous) const {
  const bool keep = graph == Graph::kKeep;
  torch::AutoGradMode record(keep);
  const Manifold* manifold = target.manifold.get();
  if (manifold && (options_.noise_first || options_.gradient_limit > 0 || !options_.clamp.empty()))
    throw RequestError("langevin", "noise_first, gradient_limit and clamp have no meaning on a manifold");
  Step step;
  if (noise_factor_ == 0)
    step.noise = torch::zeros_like(x.detach());
  else
    step.noise = manifold ? manifold->tangent_noise(x, rng) : rng.normal(x.sizes(), x);
  if (noise_factor_ > 0 && noise_factor_ != 1) step.noise.mul_(noise_factor_);

  const Tensor from = keep ? x : x.detach();
  const Tensor at = options_.noise_first ? from + step.noise : from;
  const bool known =
      !keep && !options_.noise_first && previous != nullptr && previous->score.defined() && previous->x.is_same(x);
  Tensor score = known ? previous->score : score_of(target, at, graph);
  if (options_.gradient_limit > 0) score = score.clamp(-options_.gradient_limit, options_.gradient_limit);
  if (options_.gradient_norm_limit > 0) {
    const double limit = options_.gradient_norm_limit;
    const Tensor squared = manifold ? manifold->inner(from, score, score) : sum_event(score.square());
    score = scale_rows(score, limit / squared.clamp_min(limit * limit).sqrt());
  }
  step.x = options_.noise_first ? at + score * (options_.step_size / 2)
                                : langevin_update(from, score, step.noise, options_.step_size, manifold);
  if (!options_.clamp.empty())
    step.x =
        keep ? step.x.clamp(options_.clamp[0], options_.clamp[1]) : step.x.clamp_(options_.clamp[0], options_.clamp[1]);
  return step;
}

}  // namespace gibbsite
