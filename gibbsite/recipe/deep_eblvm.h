// Table 1 of VaGES at the width of a desk: deep latent-variable energies of images by VaGES-MDSM and by bilevel score matching
// at equal training time.
#pragma once

#include <gibbsite/recipe/reproduce.h>
#include <gibbsite/recipe/step_cost.h>

#include <string>

namespace gibbsite {

/// Set by --set experiment.<key>=<value>.
struct DeepEblvmOptions : StepCostSettings {
  std::string part = "all";
  std::int64_t steps = 3000;
  std::int64_t samples = 256;
  std::int64_t sweep_steps = 300;
  std::int64_t sweep_images = 512;
  std::string classifier;
  void declare(OptionVisitor& o) {
    StepCostSettings::declare(o);
    o.option(
        "part", part,
        "cost: time steps; quality: train both methods and judge samples; sweep: one setting of VaGES-MDSM after the "
        "other; all: the first two",
        {"all", "cost", "quality", "sweep"});
    o.option("sweep_steps", sweep_steps, "steps of every run of the sweep", at_least(1));
    o.option("sweep_images", sweep_images, "validation images that its runs are compared by", at_least(2));
    o.option("steps", steps, "steps of VaGES-MDSM; the other method makes as many as fit its time", at_least(1));
    o.option("samples", samples, "samples that are judged", at_least(2));
    o.option("classifier", classifier, "run of the classifier that judges; empty: it is trained first");
  }
};

/// The recipe vages/deep-eblvm with the overrides of a scale.
std::vector<std::string> deep_eblvm_overrides(const std::string& scale);

/// Methods vages-mdsm and bimdsm (N = 0, one draw, no corrector). Cost: seconds_per_step, multiply_adds, peak_bytes of a step
/// with its updates of the encoder, time_ratio and memory_ratio. Quality, with `step`: frechet_classifier, confident_share and
/// classes of `samples` draws of p(v | h), h the encoder's means of training images; frechet_classifier of method "data".
/// Sweep, with a `factor` and its `level`: validation_loss of the objective at the same noise, with five draws per set of the
/// run's own encoder and corrector, and divergences, the times that training went back to an earlier state.
ExperimentOutcome reproduce_deep_eblvm(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
