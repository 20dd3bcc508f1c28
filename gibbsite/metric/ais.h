// Annealed importance sampling (Neal 2001): the ratio of two normalisers from chains that start at exact samples of one
// law and pass through p_β ∝ p_from^(1−β) p_to^β.
//
// Each row gives one log weight with E[e^w] = Z_to / Z_from, so the log mean is a stochastic lower bound of the log ratio.
// Run from samples of `to` back to `from`, minus the log mean is an upper bound.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/core/ports.h>
#include <gibbsite/metric/log_weights.h>
#include <gibbsite/sampler/kernel.h>

namespace gibbsite {

struct AisOptions {
  std::string kernel = "hmc";
  std::int64_t temperatures = 1000;
  std::string schedule = "sigmoid";
  std::int64_t transitions = 1;
  double step_size = 0.01;
  std::int64_t leapfrog_steps = 10;
  bool adapt = true;
  double target_acceptance = 0.65;
  double smallest_step = 1e-4;
  double largest_step = 0.5;
  void declare(OptionVisitor& o) {
    o.option("kernel", kernel, "transition at every temperature", {"hmc", "mala"});
    o.option("temperatures", temperatures, "values of β after 0, the last one 1", at_least(1));
    o.option("schedule", schedule, "β evenly spaced, or the rescaled logistic function on [−4, 4]",
             {"linear", "sigmoid"});
    o.option("transitions", transitions, "transitions per temperature", at_least(1));
    o.option("step_size", step_size, "first step size: ε of HMC, η of MALA", positive());
    o.only_if(kernel == "hmc").option("leapfrog_steps", leapfrog_steps, "leapfrog steps per transition", at_least(1));
    o.option("adapt", adapt,
             "multiply the step size by 1.02 or 0.98 after a transition, as the running acceptance is above or below "
             "its target");
    o.only_if(adapt).option("target_acceptance", target_acceptance, "acceptance aimed at", between(0.01, 0.99));
    o.only_if(adapt).option("smallest_step", smallest_step, "the step size stays above", positive());
    o.only_if(adapt).option("largest_step", largest_step, "the step size stays below", positive());
  }
};

struct AisResult {
  Tensor log_weights;     ///< [N] float64, one per chain
  Tensor x;               ///< [N, *event], the last states
  double acceptance = 0;  ///< mean over chains and transitions
  double step_size = 0;   ///< the last one; all chains of a call share it
};

/// β_0 = 0 … β_T = 1.
std::vector<double> annealing_temperatures(const AisOptions& options);

/// x: [N, *event], exact samples of `from`. Rows may be chains of one problem or of many: the weights come back row by
/// row. Both targets need an energy, and live on the same manifold or on none. Transition k draws from rng.at_step(k). The state is kept in ports.states
/// as "ais", with which the same call goes on. Throws Interrupted on request.
AisResult annealed_importance(const Target& from, const Target& to, const Tensor& x, const AisOptions& options,
                              const Rng& rng, const Ports& ports = {});

/// Laws p_β ∝ exp(-energy(x, β)), β from 0 to 1, and a transition that leaves p_β as it is: a Gibbs sweep of a model whose
/// latent variables are annealed too, say.
struct AnnealingPath {
  std::function<Tensor(const Tensor& x, double beta)> energy;                ///< [N, *event] -> [N]
  std::function<Tensor(const Tensor& x, double beta, Rng& rng)> transition;  ///< like x, without graph
};

/// The same along a path, with `temperatures` evenly spaced values of β after 0 and one transition at each. x: exact samples
/// at β = 0. Transition k draws from rng.at_step(k); acceptance is 1 and step_size 0.
AisResult annealed_importance(const AnnealingPath& path, const Tensor& x, std::int64_t temperatures, const Rng& rng,
                              const Ports& ports = {});

/// The path from β = 1 to 0. From exact samples at β = 1 minus the log mean of its weights is an upper bound of log Z_1/Z_0;
/// from anything else, the ends of long chains say, it is an estimate.
AnnealingPath reversed(const AnnealingPath& path);

/// log of an unbiased estimate of the density at x of the last state of chains that start at β = 0 (RAISE: Burda, Grosse and
/// Salakhutdinov 2015), which comes near the law at β = 1 as the temperatures grow many: [N] float64. Every row starts
/// `chains` chains at x that go back to β = 0. log_z is that of β = 0; transitions must be reversible. On average it lies below
/// the log density of that last state.
Tensor reverse_annealed_log_density(const AnnealingPath& path, double log_z, const Tensor& x, std::int64_t chains,
                                    std::int64_t temperatures, const Rng& rng, const Ports& ports = {});

}  // namespace gibbsite
