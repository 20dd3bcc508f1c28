#include <dlfcn.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/process.h>
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace gibbsite {
namespace {

int open_for_output(const std::string& path) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) throw WorkError(path, fmt::format("cannot write: {}", std::strerror(errno)));
  return file;
}

}  // namespace

void tune_process(char** argv) {
  constexpr int kKeep = 1 << 30, kGrowth = 1 << 26;
  mallopt(M_MMAP_THRESHOLD, kKeep);
  mallopt(M_TRIM_THRESHOLD, kKeep);
  mallopt(M_TOP_PAD, kGrowth);
  if (std::getenv("OMP_WAIT_POLICY") || std::getenv("GIBBSITE_RESTARTED")) return;
  setenv("OMP_WAIT_POLICY", "passive", 1);
  setenv("GOMP_SPINCOUNT", "0", 1);
  setenv("GIBBSITE_RESTARTED", "1", 1);
  execv("/proc/self/exe", argv);
}

std::string openblas_kernels() {
  using Name = char* (*)();
  const auto name = reinterpret_cast<Name>(dlsym(RTLD_DEFAULT, "openblas_get_corename"));
  return name ? name() : "";
}

ChildProcess::ChildProcess(const std::vector<std::string>& arguments, const std::string& out, const std::string& log) {
  // Lists of processes show it.
  std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  std::vector<char*> argv = {program.data()};
  std::vector<std::string> words = arguments;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const int out_file = open_for_output(out), log_file = open_for_output(log);
  // A process that was started with it ignored is never told how its children end.
  std::signal(SIGCHLD, SIG_DFL);
  const pid_t parent = ::getpid();
  process_ = ::fork();
  if (process_ == 0) {
    // Until execv only what may follow a fork in a process with threads.
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent || ::dup2(out_file, STDOUT_FILENO) < 0 || ::dup2(log_file, STDERR_FILENO) < 0) _exit(1);
    execv("/proc/self/exe", argv.data());
    _exit(127);
  }
  const int failure = errno;
  ::close(out_file);
  ::close(log_file);
  if (process_ < 0) throw WorkError("process", fmt::format("cannot be started: {}", std::strerror(failure)));
}

ChildProcess::~ChildProcess() {
  if (code_) return;
  interrupt();
  int status = 0;
  while (::waitpid(process_, &status, 0) < 0 && errno == EINTR) {
  }
}

std::optional<int> ChildProcess::exit_code() {
  int status = 0;
  if (code_) return code_;
  const pid_t ended = ::waitpid(process_, &status, WNOHANG);
  if (ended == process_) code_ = WIFEXITED(status) ? WEXITSTATUS(status) : kBySignal + WTERMSIG(status);
  if (ended < 0 && errno == ECHILD) code_ = 1;
  return code_;
}

void ChildProcess::interrupt() const {
  if (!code_) ::kill(process_, SIGTERM);
}

std::string shell_quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? "'\\''" : std::string(1, c);
  return result + "'";
}

}  // namespace gibbsite
