// What algorithms may talk to. Every base class is concrete and does nothing, so a caller overrides only what it needs;
// algorithms never open a file, print or read a signal themselves.
#pragma once

#include <gibbsite/core/tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace gibbsite {

class Ranks;

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
  /// After write: what the sampler knows of these states, [B] each: "energy" in the units of the model, "acceptance" and
  /// "divergent" of the transition that made them.
  virtual void note(std::int64_t /*step*/, const NamedTensors& /*numbers*/) {}
};

/// Keeps the states of long loops, so that one that was stopped goes on with the bits it would have had. A loop asks for its
/// state before its first step and saves it when it is interrupted, when a save is due, and at its end.
class StateStore {
 public:
  virtual ~StateStore() = default;
  /// What was saved under `name`; empty if nothing was.
  virtual NamedTensors load(const std::string& /*name*/) { return {}; }
  virtual void save(const std::string& /*name*/, const NamedTensors& /*state*/) {}
  /// Whether the last save is so long ago that it is time for another one.
  virtual bool due() { return false; }
};

/// A store for one of several loops that use the same names.
class PrefixedStore : public StateStore {
 public:
  PrefixedStore(StateStore& store, std::string prefix) : store_(store), prefix_(std::move(prefix)) {}
  NamedTensors load(const std::string& name) override { return store_.load(prefix_ + name); }
  void save(const std::string& name, const NamedTensors& state) override { store_.save(prefix_ + name, state); }
  bool due() override { return store_.due(); }

 private:
  StateStore& store_;
  std::string prefix_;
};

/// The tensor of a state that has it, else an undefined one.
Tensor find_tensor(const NamedTensors& state, const std::string& name);

/// The ports together; null members are never allowed, the defaults are shared do-nothing objects.
struct Ports {
  Interrupt* interrupt;
  Logger* logger;
  MetricWriter* metrics;
  SampleWriter* samples;
  StateStore* states;
  Ranks* ranks;  ///< processes that share the work (core/ranks.h)
  Ports();
};

}  // namespace gibbsite
