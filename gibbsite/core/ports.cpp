#include <gibbsite/core/ports.h>

namespace gibbsite {

Ports::Ports() {
  static Interrupt no_interrupt;
  static Logger no_logger;
  static MetricWriter no_metrics;
  static SampleWriter no_samples;
  interrupt = &no_interrupt;
  logger = &no_logger;
  metrics = &no_metrics;
  samples = &no_samples;
}

}  // namespace gibbsite
