#include <gibbsite/core/ports.h>
#include <gibbsite/core/ranks.h>

namespace gibbsite {

Ports::Ports() {
  static Interrupt no_interrupt;
  static Logger no_logger;
  static MetricWriter no_metrics;
  static SampleWriter no_samples;
  static StateStore no_states;
  static Ranks no_others;
  interrupt = &no_interrupt;
  logger = &no_logger;
  metrics = &no_metrics;
  samples = &no_samples;
  states = &no_states;
  ranks = &no_others;
}

Tensor find_tensor(const NamedTensors& state, const std::string& name) {
  for (const auto& [known, tensor] : state)
    if (known == name) return tensor;
  return {};
}

}  // namespace gibbsite
