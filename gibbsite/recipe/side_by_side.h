// Parts of an experiment in processes of their own, several at a time: steps of small networks leave half of two cores idle, two
// processes with a core each do not.
#pragma once

#include <gibbsite/core/ports.h>

#include <functional>
#include <string>
#include <vector>

namespace gibbsite {

struct SideBySide {
  std::vector<std::string> names;  ///< of the parts, in the order in which they start
  /// This program's arguments for a part.
  std::function<std::vector<std::string>(const std::string& name)> arguments;
  std::string directory;  ///< for what they print: <name>.out and <name>.log
  std::int64_t jobs = 2;  ///< at a time
};

/// Runs all parts and returns the lines that they printed, in the order of their names, equal ones once. Where one fails the
/// others go on. Throws WorkError naming the first that failed and its log, RequestError once one refused its request, after
/// which no other is started, Interrupted once all have stopped.
std::vector<std::string> run_side_by_side(const SideBySide& work, const Ports& ports);

}  // namespace gibbsite
