#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gibbsite/core/error.h>
#include <gibbsite/sampler/langevin.h>
#include <gibbsite/sampler/plain.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {
namespace {

// The update of n numbers; x and to may be the same.
template <class T>
void update(const T* x, const T* score, const T* noise, T half, T* to, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) to[i] = (half * score[i] + x[i]) + noise[i];
}

template <class T>
void update(const Tensor& x, const Tensor& score, const Tensor& noise, double half, Tensor& out) {
  const T* from = x.data_ptr<T>();
  const T* drift = score.data_ptr<T>();
  const T* kick = noise.data_ptr<T>();
  T* to = out.data_ptr<T>();
  at::parallel_for(0, x.numel(), 1 << 15, [=](std::int64_t begin, std::int64_t end) {
    update(from + begin, drift + begin, kick + begin, static_cast<T>(half), to + begin, end - begin);
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
    : SteppingKernel(options, "langevin"), noise_factor_(std::sqrt(options.step_size) * options.noise_scale) {
  const std::vector<double>& clamp = options_.clamp;
  if (!clamp.empty() && !(clamp.size() == 2 && clamp[0] < clamp[1]))
    throw RequestError("langevin.clamp",
                       fmt::format("expected [] or [low, high] with low < high, got [{}]", fmt::join(clamp, ", ")));
}

std::optional<Step> Langevin::advance(const Target& target, const Tensor& x, std::int64_t count, Rng& rng,
                                      Draws draws) const {
  if (!takes_rows(target, x) || options_.noise_first || options_.gradient_norm_limit > 0 || count < 1)
    return std::nullopt;
  Step step;
  step.x = x.detach().clone(at::MemoryFormat::Contiguous);
  step.noise = torch::zeros_like(step.x);
  const std::int64_t chains = x.size(0), size = x.numel() / chains, block = target.rows->block();
  float *state = step.x.data_ptr<float>(), *noise = step.noise.data_ptr<float>();
  const float half = static_cast<float>(options_.step_size / 2), factor = static_cast<float>(noise_factor_);
  const float limit = static_cast<float>(options_.gradient_limit);
  const Rng shared = rng;
  at::parallel_for(0, (chains + block - 1) / block, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> score(static_cast<std::size_t>(block * size));
    for (std::int64_t b = begin; b < end; ++b) {
      const std::int64_t first = b * block, rows = std::min(block, chains - first), n = rows * size;
      float *at = state + first * size, *kick = noise + first * size;
      Rng own = shared.at_row(shared.first_row() + first);
      for (std::int64_t t = 0; t < count; ++t) {
        if (draws == Draws::kStepEach && t > 0) own = own.at_step(own.step() + 1);
        if (noise_factor_ > 0) own.normal(kick, rows, size);
        if (noise_factor_ > 0 && noise_factor_ != 1)
          for (std::int64_t i = 0; i < n; ++i) kick[i] *= factor;
        (*target.rows)(at, rows, nullptr, score.data());
        if (limit > 0)
          for (float& component : score) component = std::clamp(component, -limit, limit);
        update(at, score.data(), kick, half, at, n);
        if (!options_.clamp.empty())
          for (std::int64_t i = 0; i < n; ++i)
            at[i] = std::clamp(at[i], static_cast<float>(options_.clamp[0]), static_cast<float>(options_.clamp[1]));
      }
    }
  });
  if (noise_factor_ > 0 && draws == Draws::kConsecutive)
    for (std::int64_t t = 0; t < count; ++t) rng.normal(nullptr, 0, size);
  return step;
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
