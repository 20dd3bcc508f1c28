// Table 2 of finite-difference score matching: deep energies of MNIST, every way of taking derivatives beside the others.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/recipe/reproduce.h>

namespace gibbsite {

/// Set by --set experiment.<key>=<value>.
struct DeepEbmOptions {
  std::string part = "all";
  std::int64_t rounds = 11;
  std::int64_t threads = 1;
  std::int64_t steps = 60;
  double minutes = 10;
  double slice = 20;
  double denoising_rate = 1e-3;
  double sliced_rate = 1e-3;
  double sliced_noise = 0.005;
  double epsilon = 0.05;
  std::int64_t images = 256;
  std::int64_t probes = 4;
  void declare(OptionVisitor& o) {
    o.option("part", part, "cost: one interleaved run of every method; race: four methods at equal wall time; all",
             {"all", "cost", "race"});
    o.option("rounds", rounds, "timed rounds, each one training step of every method", at_least(1));
    o.option("threads", threads, "threads while timing; 0: those of the run", at_least(0));
    o.option("steps", steps, "training steps of every method in the cost part, timed ones included", at_least(0));
    o.option("minutes", minutes, "training time of every method of the race", positive());
    o.option("slice", slice, "seconds that a method of the race trains before the next has its turn", positive());
    o.option("denoising_rate", denoising_rate, "learning rate of the denoising methods", positive());
    o.option("sliced_rate", sliced_rate, "learning rate of the sliced methods", positive());
    o.option("sliced_noise", sliced_noise, "standard deviation of the noise that sliced methods add to the data",
             positive());
    o.option("epsilon", epsilon, "finite-difference step", positive());
    o.option("images", images, "test images that the score-matching loss is averaged over", at_least(2));
    o.option("probes", probes, "random probes of the Hessian's trace per image", at_least(1));
  }
};

/// Rows of the cost part: seconds_per_step (loss, gradients, clipping, optimiser), multiply_adds, forward_passes,
/// peak_bytes, sm_loss, sm_share (of -d/σ², the loss of a model that is the data smoothed by its noise), time_ratio,
/// memory_ratio. Rows of the race have a setting `minutes`: sm_loss, sm_share, steps; `method=NAME,…` chooses who takes part.
/// Throws RequestError for `method` of another part than the race.
ExperimentOutcome reproduce_deep_ebm(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
