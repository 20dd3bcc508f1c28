// Running a kernel for many steps.
//
// Chain c is row c of the state and draws its numbers from row c of the generator, transition t from step t, so a chain
// is the same whichever chains run beside it: chains 5…9 alone are run_chain(…, rng.at_row(5)).
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/core/ports.h>
#include <gibbsite/sampler/kernel.h>

namespace gibbsite {

struct ChainOptions {
  std::int64_t burn_in = 0;
  std::int64_t steps = 1000;
  std::int64_t thin = 1;
  bool adapt = false;
  double target_acceptance = 0;

  void declare(OptionVisitor& o) {
    o.option("burn_in", burn_in, "steps before any state is written", at_least(0));
    o.option("steps", steps, "steps after the burn-in", at_least(0));
    o.option("thin", thin, "every how many steps a state is written", at_least(1));
    o.option("adapt", adapt, "adapt the step size during the burn-in by dual averaging, then freeze it");
    o.option("target_acceptance", target_acceptance, "acceptance to adapt to; 0 takes 0.574 for MALA and 0.8 for HMC",
             Range{0, 1, false, true});
  }
};

struct ChainResult {
  Step last;                             ///< last.x is the final state, [B, *event]
  std::shared_ptr<const Kernel> kernel;  ///< the kernel that ran after the burn-in
  Tensor acceptance;                     ///< [B] mean of Step::accepted after the burn-in; undefined without a test
  Tensor divergences;  ///< [B] int64, transitions after the burn-in with acceptance probability 0 (see is_divergent)
  std::int64_t steps_done = 0;  ///< burn-in included
  bool interrupted = false;     ///< the interrupt port asked to stop; last is the state reached
};

/// Whether a transition had no chance to be accepted, [B] bool: its energy error is beyond 745 nats in float64, 104 in
/// float32, or not a number, as where a trajectory leaves the region that its step size can follow. Undefined without a test.
Tensor is_divergent(const Step& step);

/// `burn_in` + `steps` transitions of every row of x. The transition t = 0, 1, … draws from rng.at_step(t), whatever step
/// rng is at. After the burn-in every `thin`-th state goes to ports.samples with its step number, counted from 1 after
/// the burn-in, then its energy and acceptance as a note. The interrupt port is asked before each step. The state is kept in
/// ports.states as "chain"; a run that finds one there goes on from it.
///
/// With `adapt` all chains of the call, those of other ranks too (ports.ranks), share one step size, fitted to their mean acceptance, so the chains then depend on
/// which of them run together. Throws RequestError when a kernel without an acceptance test is to be adapted or the
/// burn-in is empty, WorkError when a state that ports.states kept is of other chains, or when the state is not finite at the start, where it is written or at the end.
ChainResult run_chain(std::shared_ptr<const Kernel> kernel, const Target& target, const Tensor& x, const Rng& rng,
                      const ChainOptions& options, const Ports& ports = {});

/// `steps` transitions that draw consecutive numbers from rng's present step: the inner chains of an objective, whose
/// generator is at the training step. No ports, no checks, no host synchronisation.
Step iterate(const Kernel& kernel, const Target& target, const Tensor& x, std::int64_t steps, Rng& rng);

/// The loop under run_chain and anneal: a state, its generator and its ports.
class ChainLoop {
 public:
  /// `total` is the number of transitions planned, for the progress line `what`.
  ChainLoop(const Tensor& x, const Rng& rng, const Ports& ports, std::int64_t total, std::string what);
  /// Transitions, at least one and at most `most`, whose states between nobody needs: how many; 0 if the interrupt port asks to
  /// stop.
  std::int64_t advance(const Kernel& kernel, const Target& target, std::int64_t most = 1);
  /// Sends the state to ports.samples under `step`. Throws WorkError unless it is finite.
  void write(std::int64_t step) const;
  /// Everything that decides the transitions to come.
  NamedTensors state() const;
  /// Goes on from a state of its kind. Throws WorkError where that has another shape.
  void restore(const NamedTensors& state);
  /// Ends reuse of the last energy and score, when the target changes.
  void forget() { reuse_ = false; }

  const Step& last() const { return last_; }
  std::int64_t steps_done() const { return done_; }

 private:
  Step last_;
  Rng rng_;
  Ports ports_;
  std::int64_t total_;
  std::string what_;
  std::int64_t done_ = 0;
  bool reuse_ = false;
};

}  // namespace gibbsite
