#include "terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>

namespace gibbsite::app {
namespace {

volatile std::sig_atomic_t interrupted = 0;

// What fits on a row of the terminal: \r goes back to the start of one only.
std::string one_row(const std::string& line) {
  winsize size = {};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return line;
  std::size_t end = std::min<std::size_t>(line.size(), size.ws_col - 1U);
  const auto continues = [&](std::size_t i) { return i < line.size() && (line[i] & 0xC0) == 0x80; };
  while (end > 0 && continues(end)) --end;
  return line.substr(0, end);
}

void on_signal(int) {
  if (interrupted) _exit(130);
  interrupted = 1;
}

}  // namespace

TerminalLogger::TerminalLogger() : terminal_(::isatty(STDERR_FILENO) == 1), last_(std::chrono::steady_clock::now()) {}

TerminalLogger::~TerminalLogger() { clear(); }

void TerminalLogger::clear() {
  if (open_) std::fputs("\r\033[K", stderr);
  open_ = false;
}

void TerminalLogger::info(const std::string& line) {
  clear();
  std::fprintf(stderr, "%s\n", line.c_str());
}

void TerminalLogger::warn(const std::string& line) {
  clear();
  std::fprintf(stderr, "gibbsite: warning: %s\n", line.c_str());
}

void TerminalLogger::progress(const std::string& line, double) {
  const auto now = std::chrono::steady_clock::now();
  if (terminal_) {
    std::fprintf(stderr, "\r\033[K%s", one_row(line).c_str());
    std::fflush(stderr);
    open_ = true;
  } else if (now - last_ > std::chrono::seconds(30)) {
    std::fprintf(stderr, "%s\n", line.c_str());
    last_ = now;
  }
}

SignalInterrupt::SignalInterrupt() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool SignalInterrupt::requested() { return interrupted != 0; }

}  // namespace gibbsite::app
