// Persistent contrastive divergence: mean E(x⁺) - mean E(x⁻) + magnitude · mean(E(x⁺)² + E(x⁻)²), with the negatives x⁻ from
// chains of the recipe's sampler that start from a replay buffer. Its gradient is that of -log likelihood once the chains
// have reached the model's law.
#pragma once

#include <gibbsite/objective/objective.h>
#include <gibbsite/sampler/replay_buffer.h>

namespace gibbsite {

struct ContrastiveDivergenceOptions : ReplayOptions {
  std::int64_t steps = 20;
  double magnitude = 0;
  double information = 0;
  double noise = 0;
  std::string start = "normal";
  double start_scale = 1;
  void declare(OptionVisitor& o) {
    ReplayOptions::declare(o);
    o.option("steps", steps, "transitions of the sampler per update", at_least(1));
    o.option("magnitude", magnitude, "weight of the penalty on squared energies", non_negative());
    o.option("information", information,
             "weight of the bound on what latent variables say about the data, of conjugate energies", non_negative());
    o.option("noise", noise, "standard deviation of Gaussian noise added to the data", non_negative());
    o.option("start", start,
             "law of fresh chains: start_scale · N(0, I), uniform on [-start_scale, start_scale], or that of the "
             "auto-encoder of [vae]",
             {"normal", "uniform", "vae"});
    o.only_if(start != "vae").option("start_scale", start_scale, "scale of fresh chains", positive());
  }
};

/// Needs an energy and a kernel. Logs energy_gap, mean E(x⁺) - mean E(x⁻), data_energy, and the bound where it has a weight.
std::unique_ptr<Objective> make_contrastive_divergence(const ContrastiveDivergenceOptions& options,
                                                       const ObjectiveParts& parts);

}  // namespace gibbsite
