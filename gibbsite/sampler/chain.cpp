#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
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
}

ChainResult run_chain(std::shared_ptr<const Kernel> kernel, const Target& target, const Tensor& x, const Rng& rng,
                      const ChainOptions& request, const Ports& ports) {
  const ChainOptions options = validated(request, "chain");
  const double aim = options.target_acceptance > 0 ? options.target_acceptance : kernel->target_acceptance();
  if (options.adapt && kernel->target_acceptance() == 0)
    throw RequestError("chain.adapt", "this kernel has no acceptance test to adapt its step size to",
                       "use mala or hmc");
  if (options.adapt && options.burn_in == 0)
    throw RequestError("chain.adapt", "the step size is adapted during the burn-in, and burn_in is 0");

  ChainLoop loop(x, rng, ports, options.burn_in + options.steps, "sampling");
  ChainResult result;
  DualAveraging averaging(kernel->step_size(), aim);
  for (std::int64_t t = 0; t < options.burn_in && !result.interrupted;) {
    const std::int64_t made =
        loop.advance(*kernel, target, options.adapt ? 1 : std::min(kTogether, options.burn_in - t));
    result.interrupted = made == 0;
    t += made;
    if (options.adapt && !result.interrupted) {
      averaging.update(loop.last().probability.mean().item<double>());
      kernel = kernel->with_step_size(averaging.step_size());
    }
  }
  if (options.adapt) {
    kernel = kernel->with_step_size(averaging.frozen());
    ports.logger->info(fmt::format("step size {:.4g} after the burn-in", kernel->step_size()));
  }
  std::int64_t counted = 0;
  while (counted < options.steps && !result.interrupted) {
    const std::int64_t to_write = options.thin - counted % options.thin;
    const std::int64_t made = loop.advance(*kernel, target, std::min({kTogether, options.steps - counted, to_write}));
    result.interrupted = made == 0;
    if (result.interrupted) break;
    counted += made;
    const Step& step = loop.last();
    if (step.accepted.defined()) {
      if (!result.acceptance.defined()) result.acceptance = torch::zeros_like(step.accepted);
      result.acceptance.add_(step.accepted);
    }
    if (counted % options.thin == 0) loop.write(counted);
  }
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
