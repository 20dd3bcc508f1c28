#include <ATen/Dispatch.h>
#include <gibbsite/core/error.h>
#include <gibbsite/sampler/metropolis.h>
#include <gibbsite/sampler/plain.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {
namespace {

// `step` holds the proposal; the rows that are not accepted are put back.
template <class T>
void put_back(const Tensor& x, const EnergyScore& at_x, const Tensor& log_ratio, const Tensor& uniform, Step& step) {
  const std::int64_t rows = x.size(0), width = rows > 0 ? x.numel() / rows : 0;
  const T *old_x = x.data_ptr<T>(), *old_score = at_x.score.data_ptr<T>(), *old_energy = at_x.energy.data_ptr<T>();
  const T *ratio = log_ratio.data_ptr<T>(), *u = uniform.data_ptr<T>();
  T *new_x = step.x.data_ptr<T>(), *new_score = step.score.data_ptr<T>(), *new_energy = step.energy.data_ptr<T>();
  T *probability = step.probability.data_ptr<T>(), *accepted = step.accepted.data_ptr<T>();
  for (std::int64_t r = 0; r < rows; ++r) {
    probability[r] = std::isnan(ratio[r]) ? T{0} : std::min(std::exp(ratio[r]), T{1});
    accepted[r] = u[r] <= probability[r] ? T{1} : T{0};
    if (accepted[r] == T{1}) continue;
    std::copy_n(old_x + r * width, width, new_x + r * width);
    std::copy_n(old_score + r * width, width, new_score + r * width);
    new_energy[r] = old_energy[r];
  }
}

}  // namespace

void refuse_graph(Graph graph, const std::string& who) {
  if (graph == Graph::kKeep)
    throw RequestError(who, "the graph cannot be kept through an acceptance test", "use the langevin kernel");
}

Step accept_or_stay(const Tensor& x, const EnergyScore& at_x, const Tensor& proposal, const EnergyScore& at_proposal,
                    const Tensor& log_ratio, Rng& rng) {
  Step step;
  const Tensor uniform = rng.uniform({x.size(0)}, x);
  if (plain(x, x) && plain(at_x.energy, x) && plain(at_x.score, x) && plain(proposal, x) && plain(log_ratio, x)) {
    // Copies: a target may hand out tensors that it keeps.
    step.x = proposal.clone();
    step.score =
        at_proposal.score.to(x.scalar_type(), /*non_blocking=*/false, /*copy=*/true, torch::MemoryFormat::Contiguous);
    step.energy = at_proposal.energy.to(x.scalar_type(), false, true, torch::MemoryFormat::Contiguous);
    step.probability = torch::empty_like(log_ratio);
    step.accepted = torch::empty_like(log_ratio);
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "accept_or_stay",
                               [&] { put_back<scalar_t>(x, at_x, log_ratio, uniform, step); });
    return step;
  }
  step.probability = log_ratio.exp().clamp_max_(1).nan_to_num_(0);
  const Tensor accepted = uniform.le(step.probability);
  Shape rows(static_cast<std::size_t>(x.dim()), 1);
  rows[0] = x.size(0);
  const Tensor by_row = accepted.view(rows);
  step.x = torch::where(by_row, proposal, x);
  step.score = torch::where(by_row, at_proposal.score, at_x.score);
  step.energy = torch::where(accepted, at_proposal.energy, at_x.energy);
  step.accepted = accepted.to(x.scalar_type());
  return step;
}

}  // namespace gibbsite
