// Annealed Langevin dynamics, by temperature for an energy and by noise level for a score network: one loop over levels.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/core/ports.h>
#include <gibbsite/sampler/langevin.h>

#include <functional>
#include <string>
#include <vector>

namespace gibbsite {

struct AnnealingLevel {
  LangevinOptions kernel;
  std::int64_t steps = 1;
  std::int64_t target = 0;  ///< what TargetAt is asked for
};

using AnnealingSchedule = std::vector<AnnealingLevel>;
using TargetAt = std::function<Target(std::int64_t)>;

/// x ← x − ½η²∇E + √T·η·ξ at a temperature T that falls (fd_score_matching.md 5.4). Each ramp includes both its ends.
struct TemperatureAnnealing {
  double eta = 0.02;
  double hot = 100;
  std::int64_t hot_steps = 500;
  std::string cooling = "linear";
  std::int64_t cooling_steps = 2000;
  std::int64_t quench_steps = 200;

  void declare(OptionVisitor& o) {
    o.option("eta", eta, "η in x ← x − ½η²∇E + √T·η·ξ", positive());
    o.option("hot", hot, "first temperature", at_least(1));
    o.option("hot_steps", hot_steps, "steps at the first temperature", at_least(0));
    o.option("cooling", cooling, "how the temperature falls to 1", {"linear", "exponential"});
    o.option("cooling_steps", cooling_steps, "steps from the first temperature to 1", at_least(0));
    o.option("quench_steps", quench_steps, "steps, linear, from temperature 1 to 0", at_least(0));
  }
};

/// Every level asks for target 0.
AnnealingSchedule temperature_schedule(const TemperatureAnnealing& options);

/// x ← x + a_i s_i(x) + √(2a_i)·ξ with a_i = ε·σ_i²/σ_L², the same number of steps per level (NCSN); level i asks for
/// target i.
struct NoiseAnnealing {
  double epsilon = 2e-5;
  std::int64_t steps_per_level = 100;

  void declare(OptionVisitor& o) {
    o.option("epsilon", epsilon, "ε in the step a = ε·σ²/σ_L² of a level with noise σ, σ_L the last one", positive());
    o.option("steps_per_level", steps_per_level, "steps per noise level", at_least(1));
  }
};

/// `sigmas` from large to small. Throws RequestError unless they are positive and there is one.
AnnealingSchedule noise_schedule(const NoiseAnnealing& options, const std::vector<double>& sigmas);

struct AnnealingResult {
  Tensor x;  ///< [B, *event], detached
  std::int64_t steps_done = 0;
  bool interrupted = false;
};

/// Runs the schedule from x. The t-th transition of the whole schedule draws from rng.at_step(t). Every `write_every`-th
/// state goes to ports.samples (0: none). The state is kept in ports.states as "annealing". Throws WorkError when the final state is not finite.
AnnealingResult anneal(const AnnealingSchedule& schedule, const TargetAt& target_at, const Tensor& x, const Rng& rng,
                       const Ports& ports = {}, std::int64_t write_every = 0);

/// x + σ²·score(x), detached: the mean of the clean point given a point with Gaussian noise σ (Tweedie).
Tensor denoise(const Target& target, const Tensor& x, double sigma);

/// 0.5 + N(0, 1), the starts of annealed chains for images in [0, 1].
Tensor annealing_start(at::IntArrayRef shape, const Tensor& like, const Rng& rng);

}  // namespace gibbsite
