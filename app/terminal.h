// Ports of the terminal: progress and warnings on stderr, Ctrl-C as an interrupt.
#pragma once

#include <gibbsite/core/ports.h>

#include <chrono>
#include <string>

namespace gibbsite::app {

/// A progress line is rewritten in place on a terminal and printed every 30 s elsewhere.
class TerminalLogger : public Logger {
 public:
  TerminalLogger();
  ~TerminalLogger() override;
  void info(const std::string& line) override;
  void warn(const std::string& line) override;
  void progress(const std::string& line, double done) override;
  /// Removes an unfinished progress line.
  void clear();

 private:
  bool terminal_, open_ = false;
  std::chrono::steady_clock::time_point last_;
};

/// True after SIGINT or SIGTERM. A second signal ends the process at once.
class SignalInterrupt : public Interrupt {
 public:
  SignalInterrupt();
  bool requested() override;
};

}  // namespace gibbsite::app
