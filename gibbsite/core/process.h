// What the libraries below decide once per process, set as suits the work here; and what other processes are called with.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace gibbsite {

/// For the first line of main. malloc keeps freed memory (giving it back after every step costs up to an eighth of the
/// step in page faults), and threads that wait sleep: OMP_WAIT_POLICY and GOMP_SPINCOUNT, which libgomp reads when it is
/// loaded, so that the process replaces itself once if the first is not set.
void tune_process(char** argv);

/// The kernels OpenBLAS chose for this processor ("SkylakeX"; OPENBLAS_CORETYPE overrules it), "" without OpenBLAS.
std::string openblas_kernels();

/// This program once more, with arguments of its own, in a process group of its own so that Ctrl-C on the terminal reaches only
/// the first. It is asked to stop when this process ends.
class ChildProcess {
 public:
  static constexpr int kBySignal = 128;  ///< plus the signal: the exit code of one that a signal ended
  /// What it prints goes to the files `out` and `log`, from their start. Throws WorkError where they cannot be written or there
  /// can be no more processes.
  ChildProcess(const std::vector<std::string>& arguments, const std::string& out, const std::string& log);
  /// Asks it to stop and waits.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  /// Its exit code once it has ended, that of a shell where a signal ended it.
  std::optional<int> exit_code();
  /// As Ctrl-C does; SIGTERM, which programs that it waits for do not keep from it.
  void interrupt() const;

 private:
  pid_t process_ = -1;
  std::optional<int> code_;
};

/// One word of a shell's command line, whatever the text holds.
std::string shell_quoted(const std::string& text);

}  // namespace gibbsite
