// Parallel tempering (Geyer 1991; Earl and Deem 2005): replicas of a chain at falling inverse temperatures, of laws
//
//   p_β ∝ exp(-U_β),   U_β = U_0 + β (U - U_0)
//
// with U the energy of the target and U_0 its reference (0 where it has none). Each step moves every replica by a Metropolis
// kernel and then offers neighbours an exchange, accepted with probability min(1, exp((β_i - β_j)(V_i - V_j))), V = U - U_0,
// so that the product of all p_β is left as it is and hot replicas carry the cold one between modes. A replica at β = 0 is drawn
// anew in every step where the target knows how.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/sampler/stepping_kernel.h>

#include <string>
#include <vector>

namespace gibbsite {

struct TemperingOptions {
  std::vector<double> ladder = {1, 0.5, 0.25, 0.125};
  std::string kernel = "mala";
  double step_size = 0.01;
  std::int64_t leapfrog_steps = 10;
  double stretch = 1;
  void declare(OptionVisitor& o) {
    o.option("ladder", ladder,
             "inverse temperatures of the replicas, the first one 1, falling; 0 needs a target with a reference",
             between(0, 1));
    o.option("kernel", kernel, "what moves a replica", {"mala", "hmc"});
    o.option("step_size", step_size, "of the replica at 1: η of MALA, ε of HMC", positive());
    o.only_if(kernel == "hmc").option("leapfrog_steps", leapfrog_steps, "leapfrog steps per transition", at_least(1));
    o.option("stretch", stretch,
             "step size of the last replica over that of the first; those between are geometric in their number",
             positive());
  }
};

/// Rows b R … b R + R - 1 of a state are the replicas of chain b, R the length of the ladder. One evaluation of energy and
/// score of U at every row per step of MALA when `previous` is given. Step::accepted and probability are those of the moves,
/// Step::exchanged tells which rows took the place of a neighbour; energy and score are U's at every row. Throws RequestError
/// unless R divides the rows, the ladder begins with 1 and falls, and a manifold is not given.
class Tempering : public SteppingKernel<Tempering, TemperingOptions> {
 public:
  explicit Tempering(const TemperingOptions& options);
  Step step(const Target& target, const Tensor& x, Rng& rng, Graph graph = Graph::kDetach,
            const Step* previous = nullptr) const override;
  double target_acceptance() const override { return mover_->target_acceptance(); }
  bool interacts() const override { return replicas() > 1; }
  std::int64_t replicas() const override { return static_cast<std::int64_t>(options_.ladder.size()); }

 private:
  std::shared_ptr<const Kernel> mover_;
};

/// Every row of x R times in a row: [B, *event] -> [B R, *event].
Tensor replicated(const Kernel& kernel, const Tensor& x);
/// The rows that are chains of the target: [B R, *event] -> [B, *event].
Tensor coldest(const Kernel& kernel, const Tensor& x);

}  // namespace gibbsite
