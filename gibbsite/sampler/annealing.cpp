#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/sampler/annealing.h>
#include <gibbsite/sampler/chain.h>
#include <gibbsite/sampler/conventions.h>
#include <gibbsite/sampler/validated.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {

AnnealingSchedule temperature_schedule(const TemperatureAnnealing& request) {
  const TemperatureAnnealing options = validated(request, "annealing");
  AnnealingSchedule schedule;
  if (options.hot_steps > 0) schedule.push_back({mdsm_convention(options.eta, options.hot), options.hot_steps, 0});
  // The fraction of a ramp gone at step i; a ramp of one step is its end.
  const auto fraction = [](std::int64_t i, std::int64_t n) {
    return n == 1 ? 1.0 : static_cast<double>(i) / static_cast<double>(n - 1);
  };
  for (std::int64_t i = 0; i < options.cooling_steps; ++i) {
    const double gone = fraction(i, options.cooling_steps);
    const double temperature =
        options.cooling == "linear" ? options.hot + (1 - options.hot) * gone : std::pow(options.hot, 1 - gone);
    schedule.push_back({mdsm_convention(options.eta, temperature), 1, 0});
  }
  for (std::int64_t i = 0; i < options.quench_steps; ++i)
    schedule.push_back({mdsm_convention(options.eta, 1 - fraction(i, options.quench_steps)), 1, 0});
  return schedule;
}

AnnealingSchedule noise_schedule(const NoiseAnnealing& request, const std::vector<double>& sigmas) {
  const NoiseAnnealing options = validated(request, "annealing");
  if (sigmas.empty()) throw RequestError("annealing", "there are no noise levels");
  AnnealingSchedule schedule;
  for (std::size_t i = 0; i < sigmas.size(); ++i) {
    check_positive("annealing", fmt::format("noise level {}", i), sigmas[i]);
    const double ratio = sigmas[i] / sigmas.back();
    schedule.push_back(
        {ncsn_convention(options.epsilon * ratio * ratio), options.steps_per_level, static_cast<std::int64_t>(i)});
  }
  return schedule;
}

AnnealingResult anneal(const AnnealingSchedule& schedule, const TargetAt& target_at, const Tensor& x, const Rng& rng,
                       const Ports& ports, std::int64_t write_every) {
  std::int64_t total = 0;
  for (const AnnealingLevel& level : schedule) total += level.steps;
  ChainLoop loop(x, rng, ports, total, "annealing");
  AnnealingResult result;
  Target target;
  std::int64_t current = -1, made_at = -1, passed = 0;
  if (const NamedTensors kept = ports.states->load("annealing"); !kept.empty()) loop.restore(kept);
  const std::int64_t resumed = loop.steps_done();
  for (const AnnealingLevel& level : schedule) {
    if (passed < resumed) made_at = level.target;
    passed += level.steps;
    if (passed <= resumed) continue;
    if (level.target != current) {
      current = level.target;
      target = target_at(current);
    }
    if (made_at != current) loop.forget();
    made_at = current;
    const Langevin kernel(level.kernel);
    while (loop.steps_done() < passed && !result.interrupted) {
      if (ports.states->due()) ports.states->save("annealing", loop.state());
      result.interrupted = loop.advance(kernel, target) == 0;
      if (!result.interrupted && write_every > 0 && loop.steps_done() % write_every == 0) loop.write(loop.steps_done());
    }
    if (result.interrupted) break;
  }
  ports.states->save("annealing", loop.state());
  result.x = loop.last().x;
  result.steps_done = loop.steps_done();
  check_finite("annealing", fmt::format("the state after step {}", result.steps_done), result.x);
  return result;
}

Tensor denoise(const Target& target, const Tensor& x, double sigma) {
  torch::NoGradGuard no_graph;
  return (score_of(target, x) * (sigma * sigma)).add_(x);
}

Tensor annealing_start(at::IntArrayRef shape, const Tensor& like, const Rng& rng) {
  return rng.stream("start").normal(shape, like).add_(0.5);
}

}  // namespace gibbsite
