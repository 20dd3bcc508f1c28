#include <ATen/Parallel.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/sampler/kernel.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <algorithm>

namespace gibbsite {
namespace {

// The gradient of −energy; seeding the reverse pass with −1 saves a negation.
Tensor score_by_autograd(const Tensor& energy, const Tensor& x, bool keep) {
  check_per_example("sampler", "energy", energy, x);
  Tensor score;
  if (energy.requires_grad())
    score = torch::autograd::grad({energy}, {x}, {torch::full_like(energy, -1)}, keep, keep, /*allow_unused=*/true)[0];
  if (!score.defined())
    throw WorkError("sampler", "the energy has no autograd graph to its argument", "give the target a score");
  return score;
}

// By target.rows, rows divided among threads.
EnergyScore by_rows(const RowFunction& rows, const Tensor& x, bool energy) {
  const Tensor at = x.detach().contiguous();
  EnergyScore made{energy ? torch::empty({x.size(0)}, x.options()) : Tensor(), torch::empty_like(at)};
  const float* from = at.data_ptr<float>();
  float *to_energy = energy ? made.energy.data_ptr<float>() : nullptr, *to_score = made.score.data_ptr<float>();
  const std::int64_t size = at.numel() / at.size(0), block = rows.block(), count = at.size(0);
  at::parallel_for(0, (count + block - 1) / block, 1, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t first = begin * block, last = std::min(count, end * block);
    rows(from + first * size, last - first, to_energy ? to_energy + first : nullptr, to_score + first * size);
  });
  return made;
}

}  // namespace

bool takes_rows(const Target& target, const Tensor& x) {
  return target.rows && !target.manifold && x.device().is_cpu() && x.scalar_type() == torch::kFloat && x.numel() > 0;
}

Tensor score_of(const Target& target, const Tensor& x, Graph graph) {
  const bool keep = graph == Graph::kKeep;
  if (!keep && takes_rows(target, x)) return by_rows(*target.rows, x, false).score;
  torch::AutoGradMode record(keep || !target.score);
  if (target.score) return keep ? target.score(x) : target.score(x.detach()).detach();
  if (!target.energy) throw RequestError("sampler", "the target has neither score nor energy");
  const Tensor at = keep && x.requires_grad() ? x : x.detach().requires_grad_();
  const Tensor ambient = score_by_autograd(target.energy(at), at, keep);
  return target.manifold ? target.manifold->gradient(at, ambient) : ambient;
}

EnergyScore energy_and_score(const Target& target, const Tensor& x, const std::string& who) {
  if (!target.energy && !target.both)
    throw RequestError(who, "the acceptance test needs the target's energy, and this target has only a score",
                       "langevin needs no energy");
  if (takes_rows(target, x)) return by_rows(*target.rows, x, true);
  if (target.both || target.score) {
    torch::NoGradGuard no_graph;
    const Tensor at = x.detach();
    if (target.both) return target.both(at);
    return {target.energy(at), target.score(at)};
  }
  torch::AutoGradMode record(true);
  const Tensor at = x.detach().requires_grad_();
  const Tensor energy = target.energy(at);
  Tensor score = score_by_autograd(energy, at, false);
  if (target.manifold) score = target.manifold->gradient(at.detach(), score);
  return {energy.detach(), score};
}

EnergyScore energy_and_score(const Target& target, const Tensor& x, const Step* previous, const std::string& who) {
  if (previous != nullptr && previous->energy.defined() && previous->score.defined() && previous->x.is_same(x))
    return {previous->energy, previous->score};
  return energy_and_score(target, x, who);
}

void refuse_replicas(const Kernel& kernel, const std::string& who) {
  if (kernel.replicas() > 1)
    throw RequestError(who, "does not go with a sampler of several replicas", "use langevin, mala or hmc");
}

Target tempered(const Target& target, double beta) {
  Target result;
  result.manifold = target.manifold;
  if (target.reference)
    result.reference = [reference = target.reference, beta](const Tensor& x) { return reference(x) * beta; };
  if (target.energy) result.energy = [energy = target.energy, beta](const Tensor& x) { return energy(x) * beta; };
  if (target.score) result.score = [score = target.score, beta](const Tensor& x) { return score(x) * beta; };
  if (target.both)
    result.both = [both = target.both, beta](const Tensor& x) {
      const EnergyScore at = both(x);
      return EnergyScore{at.energy * beta, at.score * beta};
    };
  return result;
}

}  // namespace gibbsite
