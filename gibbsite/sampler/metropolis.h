// What the Metropolis kernels share.
#pragma once

#include <gibbsite/sampler/kernel.h>

#include <string>

namespace gibbsite {

/// Throws RequestError naming the kernel if the graph is to be kept: an acceptance test has no derivative.
void refuse_graph(Graph graph, const std::string& who);

/// Moves each row to the proposal with probability min(1, exp(log_ratio)), or never where that is not a number. Fills
/// every member of the Step but the noise.
Step accept_or_stay(const Tensor& x, const EnergyScore& at_x, const Tensor& proposal, const EnergyScore& at_proposal,
                    const Tensor& log_ratio, Rng& rng);

}  // namespace gibbsite
