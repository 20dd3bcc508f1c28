// What algorithms may talk to. Every base class is concrete and does nothing, so a caller overrides only what it needs;
// algorithms never open a file, print or read a signal themselves.
#pragma once

#include <gibbsite/core/tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace gibbsite {

/// Asked once per iteration of every long loop.
class Interrupt {
 public:
  virtual ~Interrupt() = default;
  virtual bool requested() { return false; }
};

class Logger {
 public:
  virtual ~Logger() = default;
  virtual void info(const std::string& /*line*/) {}
  virtual void warn(const std::string& /*line*/) {}
  /// A line that replaces the previous progress line; `done` in [0, 1].
  virtual void progress(const std::string& /*line*/, double /*done*/) {}
};

using NamedNumbers = std::vector<std::pair<std::string, double>>;

/// Receives named numbers at a step of a run.
class MetricWriter {
 public:
  virtual ~MetricWriter() = default;
  virtual void write(std::int64_t /*step*/, const std::string& /*phase*/, const NamedNumbers& /*numbers*/) {}
  /// Called before a checkpoint is written: what was written so far must survive a crash after this returns.
  virtual void flush() {}
};

/// Receives states of chains, [B, *event], in the units of the data set.
class SampleWriter {
 public:
  virtual ~SampleWriter() = default;
  virtual void write(std::int64_t /*step*/, const Tensor& /*x*/) {}
};

/// The four ports together; null members are never allowed, the defaults are shared do-nothing objects.
struct Ports {
  Interrupt* interrupt;
  Logger* logger;
  MetricWriter* metrics;
  SampleWriter* samples;
  Ports();
};

}  // namespace gibbsite
