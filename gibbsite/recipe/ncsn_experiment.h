// Table 5 of finite-difference score matching: a noise-conditional score network by nested reverse passes, finite
// differences and jets.
#pragma once

#include <gibbsite/recipe/reproduce.h>
#include <gibbsite/recipe/step_cost.h>

namespace gibbsite {

/// Keys `experiment.…` of --set.
struct NcsnExperimentOptions : StepCostSettings {
  std::string part = "comparison";
  std::string classifier;
  std::int64_t steps = 400;
  std::int64_t slices = 4;
  std::int64_t validation_images = 512;
  std::int64_t samples = 64;
  std::string method = "jet-ssm-vr";
  std::int64_t quality_steps = 20000;
  std::int64_t quality_points = 5;
  std::int64_t quality_samples = 256;
  double quality_ema = 0.999;
  void declare(OptionVisitor& o) {
    o.option("part", part,
             "cost: time the steps; parity: train every method alike; comparison: both; quality: train one method for "
             "longer; all",
             {"comparison", "cost", "parity", "quality", "all"});
    StepCostSettings::declare(o);
    o.option("classifier", classifier, "run of the classifier that judges samples; empty: one is trained first");
    o.option("steps", steps, "training steps of every method in the part parity", at_least(1));
    o.option("slices", slices, "turns in which the methods make those steps, so that a disturbance hits all alike",
             at_least(1));
    o.option("validation_images", validation_images, "images of the common validation loss", at_least(2));
    o.option("samples", samples, "samples of every method after its steps", at_least(4));
    o.option("method", method, "the method of the part quality", {"jet-ssm-vr", "ssm-vr", "fd-ssm-vr"});
    o.option("quality_steps", quality_steps, "training steps of the part quality", at_least(1));
    o.option("quality_points", quality_points, "times, evenly spaced, that its samples are judged", at_least(1));
    o.option("quality_samples", quality_samples, "samples judged at each of them", at_least(4));
    o.option("quality_ema", quality_ema, "decay of its averaged parameters; 0: no average", {0, 1, false, true});
  }
  bool cost() const { return part == "cost" || part == "comparison" || part == "all"; }
  bool parity() const { return part == "parity" || part == "comparison" || part == "all"; }
  bool quality() const { return part == "quality" || part == "all"; }
};

/// Rows. All parts: parameters of the published widths. cost: multiply_adds of `forward`, and of every method
/// seconds_per_step, multiply_adds, forward_passes, peak_bytes, time_ratio, memory_ratio. parity: validation_loss after every
/// slice and frechet_classifier at the end of every method, validation_difference with `against`, and frechet_classifier of
/// `data`, test images that stand in for samples. quality: frechet_classifier, confident_share and classes at every point.
/// Where it was interrupted, each part goes on when it is asked for again.
ExperimentOutcome reproduce_ncsn(const ExperimentContext& context, const Ports& ports);

}  // namespace gibbsite
