#include <dlfcn.h>
#include <gibbsite/core/process.h>
#include <malloc.h>
#include <unistd.h>

#include <cstdlib>

namespace gibbsite {

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

std::string shell_quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? "'\\''" : std::string(1, c);
  return result + "'";
}

}  // namespace gibbsite
