#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/ranks.h>
#include <gibbsite/sampler/chain.h>
#include <gibbsite/sampler/dual_averaging.h>
#include <gibbsite/sampler/validated.h>
#include <torch/types.h>

#include <algorithm>

namespace gibbsite {
namespace {

// Transitions between two questions to the interrupt port, where a kernel makes several at once.
constexpr std::int64_t kTogether = 64;

}  // namespace

ChainLoop::ChainLoop(const Tensor& x, const Rng& rng, const Ports& ports, std::int64_t total, std::string what)
    : rng_(rng), ports_(ports), total_(total), what_(std::move(what)) {
  check_finite(what_, "the starting state", x);
  last_.x = x.detach();
}

std::int64_t ChainLoop::advance(const Kernel& kernel, const Target& target, std::int64_t most) {
  if (ports_.interrupt->requested()) return 0;
  Rng now = rng_.at_step(static_cast<std::uint64_t>(done_));
  const std::int64_t before = done_;
  if (std::optional<Step> step = kernel.advance(target, last_.x, most, now, Draws::kStepEach)) {
    last_ = std::move(*step);
    done_ += most;
  } else {
    last_ = kernel.step(target, last_.x, now, Graph::kDetach, reuse_ ? &last_ : nullptr);
    // A chain that starts where the energy is not a number would reject every proposal for ever.
    if (done_ == 0 && last_.energy.defined() && last_.energy.isnan().any().item<bool>())
      throw WorkError(what_, "the energy of a starting state is not a number");
    reuse_ = true;
    ++done_;
  }
  if (done_ == total_ || done_ * 100 / total_ != before * 100 / total_)
    ports_.logger->progress(fmt::format("{} {}/{}", what_, done_, total_),
                            static_cast<double>(done_) / static_cast<double>(total_));
  return done_ - before;
}

void ChainLoop::write(std::int64_t step) const {
  check_finite(what_, fmt::format("the state after step {}", done_), last_.x);
  ports_.samples->write(step, last_.x);
  NamedTensors numbers;
  if (last_.energy.defined()) numbers.emplace_back("energy", last_.energy);
  if (last_.probability.defined()) {
    numbers.emplace_back("acceptance", last_.probability);
    numbers.emplace_back("divergent", is_divergent(last_));
  }
  if (!numbers.empty()) ports_.samples->note(step, numbers);
}

NamedTensors ChainLoop::state() const {
  NamedTensors state = {{"x", last_.x}, {"done", torch::tensor(done_)}};
  if (reuse_ && last_.energy.defined()) state.emplace_back("energy", last_.energy);
  if (reuse_ && last_.score.defined()) state.emplace_back("score", last_.score);
  return state;
}

void ChainLoop::restore(const NamedTensors& state) {
  const Tensor x = find_tensor(state, "x"), done = find_tensor(state, "done");
  if (!x.defined() || !done.defined() || x.sizes() != last_.x.sizes())
    throw WorkError(what_, "the state that was kept is of other chains", "remove it to start anew");
  const auto options = last_.x.options();
  const auto like_chains = [&](const char* name) {
    const Tensor kept = find_tensor(state, name);
    return kept.defined() ? kept.to(options) : kept;
  };
  last_ = Step();
  last_.x = x.to(options);
  last_.energy = like_chains("energy");
  last_.score = like_chains("score");
  done_ = done.item<std::int64_t>();
  reuse_ = last_.energy.defined() || last_.score.defined();
}

Tensor is_divergent(const Step& step) { return step.probability.defined() ? step.probability.le(0) : Tensor(); }

ChainResult run_chain(std::shared_ptr<const Kernel> kernel, const Target& target, const Tensor& x, const Rng& rng,
                      const ChainOptions& request, const Ports& ports) {
  const ChainOptions options = validated(request, "chain");
  const double aim = options.target_acceptance > 0 ? options.target_acceptance : kernel->target_acceptance();
  if (options.adapt && kernel->target_acceptance() == 0)
    throw RequestError("chain.adapt", "this kernel has no acceptance test to adapt its step size to",
                       "use mala or hmc");
  if (options.adapt && options.burn_in == 0)
    throw RequestError("chain.adapt", "the step size is adapted during the burn-in, and burn_in is 0");

  const std::int64_t total = options.burn_in + options.steps;
  ChainLoop loop(x, rng, ports, total, "sampling");
  ChainResult result;
  DualAveraging averaging(kernel->step_size(), aim);
  if (const NamedTensors kept = ports.states->load("chain"); !kept.empty()) {
    loop.restore(kept);
    if (loop.steps_done() > total) throw WorkError("sampling", "the state that was kept is of longer chains");
    const Tensor adapted = find_tensor(kept, "averaging");
    if (options.adapt && adapted.defined()) {
      averaging.restore({adapted.data_ptr<double>(), adapted.data_ptr<double>() + adapted.numel()});
      if (loop.steps_done() > 0) kernel = kernel->with_step_size(averaging.step_size());
    }
    result.acceptance = find_tensor(kept, "acceptance");
    if (result.acceptance.defined()) result.acceptance = result.acceptance.to(x.options());
    result.divergences = find_tensor(kept, "divergences");
    if (result.divergences.defined()) result.divergences = result.divergences.to(x.device());
  }
  const auto save = [&] {
    NamedTensors state = loop.state();
    if (options.adapt) state.emplace_back("averaging", torch::tensor(averaging.state(), torch::kDouble));
    if (result.acceptance.defined()) state.emplace_back("acceptance", result.acceptance.clone());
    if (result.divergences.defined()) state.emplace_back("divergences", result.divergences.clone());
    ports.states->save("chain", state);
  };
  const auto advance = [&](std::int64_t most) {
    if (ports.states->due()) save();
    result.interrupted = loop.advance(*kernel, target, std::min(kTogether, most)) == 0;
    return !result.interrupted;
  };
  while (loop.steps_done() < options.burn_in && advance(options.adapt ? 1 : options.burn_in - loop.steps_done()))
    if (options.adapt) {
      averaging.update(ports.ranks->gather(loop.last().probability).mean().item<double>());
      kernel = kernel->with_step_size(averaging.step_size());
    }
  if (options.adapt && !result.interrupted) {
    kernel = kernel->with_step_size(averaging.frozen());
    ports.logger->info(fmt::format("step size {:.4g} after the burn-in", kernel->step_size()));
  }
  while (!result.interrupted && loop.steps_done() < total) {
    const std::int64_t before = loop.steps_done() - options.burn_in;
    if (!advance(std::min(options.steps - before, options.thin - before % options.thin))) break;
    const Step& step = loop.last();
    if (step.accepted.defined()) {
      if (!result.acceptance.defined()) {
        result.acceptance = torch::zeros_like(step.accepted);
        result.divergences = torch::zeros(step.accepted.sizes(), step.accepted.options().dtype(torch::kLong));
      }
      result.acceptance.add_(step.accepted);
      result.divergences.add_(is_divergent(step));
    }
    const std::int64_t counted = loop.steps_done() - options.burn_in;
    if (counted % options.thin == 0) loop.write(counted);
  }
  save();
  const std::int64_t counted = loop.steps_done() - options.burn_in;
  if (result.acceptance.defined()) {
    result.acceptance.div_(static_cast<double>(counted));
    ports.logger->info(fmt::format("acceptance {:.3f}", result.acceptance.mean().item<double>()));
  }
  result.last = loop.last();
  result.kernel = kernel;
  result.steps_done = loop.steps_done();
  check_finite("sampling", fmt::format("the state after step {}", result.steps_done), result.last.x);
  return result;
}

Step iterate(const Kernel& kernel, const Target& target, const Tensor& x, std::int64_t steps, Rng& rng) {
  if (std::optional<Step> step = kernel.advance(target, x, steps, rng, Draws::kConsecutive)) return *std::move(step);
  Step last;
  last.x = x.detach();
  for (std::int64_t t = 0; t < steps; ++t)
    last = kernel.step(target, last.x, rng, Graph::kDetach, t > 0 ? &last : nullptr);
  return last;
}

}  // namespace gibbsite
