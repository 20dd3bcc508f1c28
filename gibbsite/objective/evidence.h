// The evidence bound of a hierarchical auto-encoder (NVAE: Vahdat and Kautz 2020; protocol sheet 6.4):
//
//   -log p(x | z) + β Σ_l γ_l KL(q(z_l | z_<l, x) ‖ p(z_l | z_<l)) + λ · (Σ spectral norms + Σ largest scales of batch norms)
//
// averaged over the batch. While β rises from `least_weight` to 1, over the share `warmup` of the updates, groups are balanced:
// γ_l ∝ (mean KL_l + 0.01)/α_l, of mean 1 and without a graph, so that no group is switched off; then γ_l = 1. λ goes
// geometrically from `first_penalty` to `penalty` with β.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/objective/objective.h>

namespace gibbsite {

struct EvidenceOptions {
  double warmup = 0.3;
  double least_weight = 1e-4;
  bool balance = true;
  double penalty = 0.1;
  double first_penalty = 0;
  void declare(OptionVisitor& o) {
    o.option("warmup", warmup, "share of the updates over which the weight of the divergences rises to 1",
             between(0, 1));
    o.only_if(warmup > 0).option("least_weight", least_weight, "the weight it rises from", between(0, 1));
    o.only_if(warmup > 0).option("balance", balance, "balance the groups' divergences while it rises");
    o.option("penalty", penalty, "λ, weight of spectral norms and of the largest scales of batch norms",
             non_negative());
    o.only_if(warmup > 0 && penalty > 0)
        .option("first_penalty", first_penalty, "λ before the first update; 0: the same as later", non_negative());
  }
};

/// Needs the hierarchical auto-encoder of [generator]. Where that does not train (validation), the loss is the evidence bound
/// alone: β = γ_l = 1, λ = 0. Logs reconstruction (-log p(x | z)), divergence (Σ KL_l) and, in training, penalty. Batch norms
/// mix the rows of a batch.
std::unique_ptr<Objective> make_evidence(const EvidenceOptions& options, const ObjectiveParts& parts);

}  // namespace gibbsite
