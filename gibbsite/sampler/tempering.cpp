#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/sampler/hmc.h>
#include <gibbsite/sampler/mala.h>
#include <gibbsite/sampler/metropolis.h>
#include <gibbsite/sampler/tempering.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

const char* const kName = "tempering";

std::shared_ptr<const Kernel> make_mover(const TemperingOptions& options) {
  if (options.kernel == "hmc") {
    HmcOptions hmc;
    hmc.step_size = options.step_size;
    hmc.leapfrog_steps = options.leapfrog_steps;
    return std::make_shared<Hmc>(hmc);
  }
  MalaOptions mala;
  mala.step_size = options.step_size;
  return std::make_shared<Mala>(mala);
}

// [R] -> [B R], one ladder after another, in the dtype and on the device of x.
Tensor by_row(const std::vector<double>& ladder, const Tensor& x) {
  return torch::tensor(ladder, torch::kDouble)
      .to(x.options())
      .repeat({x.size(0) / static_cast<std::int64_t>(ladder.size())});
}

EnergyScore reference_at(const Target& target, const Tensor& x) {
  if (!target.reference) return {torch::zeros({x.size(0)}, x.options()), torch::zeros_like(x)};
  Target reference;
  reference.energy = target.reference;
  return energy_and_score(reference, x, kName);
}

// base + weight (full - base) row by row.
Tensor mixed(const Tensor& base, const Tensor& full, const Tensor& weight) {
  return base + scale_rows(full - base, weight);
}
EnergyScore mixed(const EnergyScore& base, const EnergyScore& full, const Tensor& weight) {
  return {base.energy + weight * (full.energy - base.energy), mixed(base.score, full.score, weight)};
}

}  // namespace

Tempering::Tempering(const TemperingOptions& options) : SteppingKernel(options, kName) {
  const std::vector<double>& ladder = options_.ladder;
  bool falls = !ladder.empty() && ladder.front() == 1;
  for (std::size_t r = 1; r < ladder.size(); ++r) falls = falls && ladder[r] < ladder[r - 1];
  if (!falls) throw RequestError("tempering.ladder", "inverse temperatures begin with 1 and fall");
  mover_ = make_mover(options_);
}

Step Tempering::step(const Target& target, const Tensor& x, Rng& rng, Graph graph, const Step* previous) const {
  refuse_graph(graph, kName);
  const std::int64_t rows = x.size(0), levels = replicas();
  if (rows % levels != 0)
    throw RequestError(kName, fmt::format("{} rows are no whole number of chains of {} replicas", rows, levels));
  if (target.manifold) throw RequestError(kName, "knows nothing of manifolds");
  if (options_.ladder.back() == 0 && !target.reference)
    throw RequestError("tempering.ladder", "an inverse temperature of 0 needs a target with a reference");
  const torch::NoGradGuard no_graph;
  const Tensor from = x.detach(), beta = by_row(options_.ladder, from);
  std::vector<double> scales;
  for (std::int64_t r = 0; r < levels; ++r) {
    const double share = levels > 1 ? static_cast<double>(r) / static_cast<double>(levels - 1) : 0;
    // A step of s² η is one of η in units of s.
    scales.push_back(std::pow(options_.stretch, options_.kernel == "mala" ? share / 2 : share));
  }
  const Tensor scale = by_row(scales, from);

  const auto rows_of = [&](const Tensor& rows_chosen, const Tensor& if_chosen, const Tensor& if_not) {
    Shape sizes(static_cast<std::size_t>(if_not.dim()), 1);
    sizes[0] = rows;
    return torch::where(rows_chosen.view(sizes), if_chosen, if_not);
  };
  // Where the law at 0 can be drawn from, its rows need no chain. The mover moves them as well, in the reference alone, so that
  // its acceptance means the same.
  const bool draws = options_.ladder.back() == 0 && target.draw_reference;
  const Tensor drawn = beta.eq(0);
  const Tensor fresh = draws ? target.draw_reference(from, rng) : Tensor();

  // The mover sees y = x / scale and the energy of each row's own temperature.
  const EnergyScore full = energy_and_score(target, x, previous, kName);
  EnergyScore last_full, last_base;
  const auto at = [&](const Tensor& y) { return scale_rows(y, scale); };
  Target moved;
  moved.both = [&](const Tensor& y) {
    const Tensor proposal = at(y);
    last_full = energy_and_score(target, draws ? rows_of(drawn, fresh, proposal) : proposal, kName);
    last_base = reference_at(target, proposal);
    const EnergyScore both = mixed(last_base, last_full, beta);
    return EnergyScore{both.energy, scale_rows(both.score, scale)};
  };
  moved.score = [&](const Tensor& y) {
    return scale_rows(mixed(reference_at(target, at(y)).score, score_of(target, at(y)), beta), scale);
  };
  const EnergyScore base = reference_at(target, from), start = mixed(base, full, beta);
  Step before;
  before.x = scale_rows(from, scale.reciprocal());
  before.energy = start.energy;
  before.score = scale_rows(start.score, scale);
  Step step = mover_->step(moved, before.x, rng, Graph::kDetach, &before);

  // Rows that stayed keep their bits; energies at 1 come from the last evaluation, at the proposal.
  Tensor taken = step.accepted.gt(0), proposed = at(step.x);
  if (draws) {
    taken = taken.logical_or(drawn);
    proposed = rows_of(drawn, fresh, proposed);
    last_base.energy = torch::where(drawn, target.reference(fresh), last_base.energy);
  }
  const auto choose = [&](const Tensor& if_taken, const Tensor& if_not) { return rows_of(taken, if_taken, if_not); };
  Tensor position = choose(proposed, from);
  Tensor energy = choose(last_full.energy, full.energy), score = choose(last_full.score, full.score);
  step.noise = scale_rows(step.noise, scale);
  step.exchanged = torch::zeros_like(step.accepted);

  if (levels > 1) {
    const Tensor heat = (energy - choose(last_base.energy, base.energy)).view({-1, levels});  // V
    const Tensor uniform = rng.uniform({rows}, from).view({-1, levels});
    const Tensor coin = rng.uniform({rows}, from).view({-1, levels}).select(1, 0).gt(0.5).to(torch::kLong);
    const Tensor number = torch::arange(levels - 1, coin.options());
    const Tensor b = beta.view({-1, levels});
    const Tensor log_ratio = (b.narrow(1, 0, levels - 1) - b.narrow(1, 1, levels - 1)) *
                             (heat.narrow(1, 0, levels - 1) - heat.narrow(1, 1, levels - 1));
    // Pairs (i, i + 1) with i of the parity that the coin names do not meet.
    const Tensor offered = number.remainder(2).unsqueeze(0).eq(coin.unsqueeze(1));
    const Tensor swap = offered.logical_and(uniform.narrow(1, 0, levels - 1).log().le(log_ratio)).to(torch::kLong);
    const Tensor none = torch::zeros({swap.size(0), 1}, swap.options());
    const Tensor shift = torch::cat({swap, none}, 1) - torch::cat({none, swap}, 1);
    const Tensor index = torch::arange(rows, coin.options()) + shift.flatten();
    position = position.index_select(0, index);
    energy = energy.index_select(0, index);
    score = score.index_select(0, index);
    step.exchanged = shift.flatten().abs().to(from.scalar_type());
  }
  step.x = position;
  step.energy = energy;
  step.score = score;
  return step;
}

Tensor replicated(const Kernel& kernel, const Tensor& x) { return x.repeat_interleave(kernel.replicas(), 0); }

Tensor coldest(const Kernel& kernel, const Tensor& x) {
  return kernel.replicas() == 1 ? x : x.slice(0, 0, x.size(0), kernel.replicas());
}

}  // namespace gibbsite
