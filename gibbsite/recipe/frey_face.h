// Figure 3 of VaGES: restricted Boltzmann machines of the Frey faces by VaGES-DSM and by bilevel score matching.
#pragma once

#include <gibbsite/metric/grbm_log_z.h>
#include <gibbsite/recipe/reproduce.h>
#include <gibbsite/recipe/step_cost.h>

#include <vector>

namespace gibbsite {

/// Set by --set experiment.<key>=<value>.
struct FreyFaceOptions : TrainedExperimentOptions, GrbmAisOptions {
  std::vector<std::int64_t> particles = {2, 6, 10};
  std::vector<std::int64_t> inner = {1, 3, 5};
  std::vector<std::int64_t> unroll = {0, 2, 5};
  std::vector<std::int64_t> trained_particles = {2, 10};
  std::vector<std::int64_t> trained_inner = {5};
  std::int64_t checks = 5;
  void declare(OptionVisitor& o) {
    TrainedExperimentOptions::declare(o);
    GrbmAisOptions::declare(o);
    o.option("particles", particles, "values of L whose steps are timed", at_least(2));
    o.option("inner", inner, "values of K whose steps are timed", at_least(1));
    o.option("unroll", unroll, "values of N of bilevel score matching", at_least(0));
    o.option("trained_particles", trained_particles, "values of L that are trained and measured", at_least(2));
    o.option("trained_inner", trained_inner, "values of K that are trained and measured", at_least(1));
    o.option("checks", checks, "evenly spaced checkpoints that the validation likelihood chooses from", at_least(1));
  }
};

/// Methods vages-dsm and bidsm-N; rows have particles = L, inner = K and, of bidsm, unroll = N.
///
/// Quality: log_likelihood of the test images by annealed importance sampling (an upper estimate, its standard error that of
/// log Z) and sm_loss (½‖s‖² + tr ∇s, the exact trace) of the checkpoint with the best validation likelihood, with its `step`
/// and `validation`. Cost: seconds_per_step and peak_bytes of a step with its K updates of the encoder, interleaved within
/// (L, K); time_ratio and memory_ratio of vages-dsm with `against`, and their means over the grid, mean_time_ratio and
/// mean_memory_ratio.
ExperimentOutcome reproduce_frey_face(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
