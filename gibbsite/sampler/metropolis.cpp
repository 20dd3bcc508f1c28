#include <gibbsite/core/error.h>
#include <gibbsite/sampler/metropolis.h>
#include <torch/types.h>

namespace gibbsite {

void refuse_graph(Graph graph, const std::string& who) {
  if (graph == Graph::kKeep)
    throw RequestError(who, "the graph cannot be kept through an acceptance test", "use the langevin kernel");
}

Step accept_or_stay(const Tensor& x, const EnergyScore& at_x, const Tensor& proposal, const EnergyScore& at_proposal,
                    const Tensor& log_ratio, Rng& rng) {
  Step step;
  step.probability = log_ratio.exp().clamp_max_(1).nan_to_num_(0);
  const Tensor accepted = rng.uniform({x.size(0)}, x).le(step.probability);
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
