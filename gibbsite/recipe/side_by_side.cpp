#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/core/process.h>
#include <gibbsite/recipe/side_by_side.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <memory>
#include <sstream>
#include <thread>

namespace gibbsite {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRefused = 2;

struct Part {
  std::string name;
  std::unique_ptr<ChildProcess> process;
  Clock::time_point start;
};

// The last line that a part has finished writing.
std::string last_line(const std::string& file) {
  constexpr std::streamoff kTail = 10000;
  std::ifstream log(file, std::ios::binary | std::ios::ate);
  const std::streamoff size = log.tellg();
  if (size <= 0) return "";
  log.seekg(std::max<std::streamoff>(0, size - kTail));
  std::string line, last;
  while (std::getline(log, line))
    if (!log.eof() && !line.empty()) last = line;
  return last;
}

// What it says of its failure.
std::string error_line(const std::string& log, int code) {
  const std::string line = last_line(log), mark = "gibbsite: error: ";
  if (line.rfind(mark, 0) == 0) return line.substr(mark.size());
  if (code > ChildProcess::kBySignal) return fmt::format("ended by signal {}", code - ChildProcess::kBySignal);
  return "failed without a word";
}

}  // namespace

std::vector<std::string> run_side_by_side(const SideBySide& work, const Ports& ports) {
  const auto log_of = [&](const std::string& name) { return work.directory + "/" + name + ".log"; };
  const auto out_of = [&](const std::string& name) { return work.directory + "/" + name + ".out"; };
  std::vector<Part> running;
  struct Failure {
    std::string name;
    int code;
  };
  std::vector<Failure> failed;
  std::size_t started = 0;
  bool stopping = false, refused = false;
  Clock::time_point shown = Clock::now();
  const auto show = [&] {
    std::string line = fmt::format("{} of {} done", started - running.size(), work.names.size());
    for (const Part& part : running) {
      const std::string last = last_line(log_of(part.name));
      const std::string named = last.rfind(part.name + ":", 0) == 0 ? last : fmt::format("{}: {}", part.name, last);
      constexpr std::size_t kMost = 100;
      line += "; " + named.substr(0, kMost);
    }
    ports.logger->progress(line,
                           static_cast<double>(started - running.size()) / static_cast<double>(work.names.size()));
  };
  const auto end = [&](const Part& part, int code) {
    const double minutes = std::chrono::duration<double>(Clock::now() - part.start).count() / 60;
    if (code == 0) {
      ports.logger->info(fmt::format("{}: done after {:.1f} minutes", part.name, minutes));
    } else {
      refused = refused || code == kRefused;
      failed.push_back({part.name, code});
      if (!stopping) ports.logger->warn(fmt::format("{}: failed", part.name));
    }
  };
  while ((started < work.names.size() && !refused) || !running.empty()) {
    if (!stopping && ports.interrupt->requested()) {
      stopping = true;
      for (const Part& part : running) part.process->interrupt();
    }
    if (stopping && running.empty()) break;
    while (!stopping && !refused && started < work.names.size() &&
           static_cast<std::int64_t>(running.size()) < work.jobs) {
      const std::string& name = work.names[started++];
      ports.logger->info(fmt::format("{}: in a process of its own, log {}", name, log_of(name)));
      running.push_back(
          {name, std::make_unique<ChildProcess>(work.arguments(name), out_of(name), log_of(name)), Clock::now()});
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    for (std::size_t i = running.size(); i-- > 0;) {
      const std::optional<int> code = running[i].process->exit_code();
      if (!code) continue;
      end(running[i], *code);
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (running.empty() || Clock::now() - shown < std::chrono::seconds(1)) continue;
    show();
    shown = Clock::now();
  }
  if (stopping) throw Interrupted("reproduce", "stopped; the same call goes on");
  if (!failed.empty()) {
    const auto first =
        refused ? std::find_if(failed.begin(), failed.end(), [](const Failure& f) { return f.code == kRefused; })
                : failed.begin();
    const std::string log = log_of(first->name), what = error_line(log, first->code);
    if (refused) throw RequestError(first->name, what, log);
    throw WorkError(first->name, what, log);
  }
  std::vector<std::string> lines;
  // What several need and each may have measured is said once.
  for (const std::string& name : work.names) {
    std::istringstream text(read_file(out_of(name)));
    for (std::string line; std::getline(text, line);)
      if (std::find(lines.begin(), lines.end(), line) == lines.end()) lines.push_back(line);
  }
  return lines;
}

}  // namespace gibbsite
