#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <gibbsite/core/commit.h>
#include <gibbsite/core/environment.h>
#include <gibbsite/core/process.h>
#include <sys/utsname.h>
#include <torch/version.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>

namespace gibbsite {
namespace {

std::string text_of(const char* path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string first_match(const std::string& text, const char* pattern, const std::string& otherwise) {
  std::smatch match;
  return std::regex_search(text, match, std::regex(pattern)) ? match[1].str() : otherwise;
}

std::string operating_system() {
  const std::string name = first_match(text_of("/etc/os-release"), "PRETTY_NAME=\"?([^\"\n]*)", "");
  utsname kernel{};
  if (::uname(&kernel) != 0) return name;
  const std::string system = std::string(kernel.sysname) + " " + kernel.release;
  return name.empty() ? system : name + ", " + system;
}

struct KnownBlas {
  const char* name;
  const char* file;  // pattern of the file's name; its group, if any, is the version
};

// The first that is mapped counts: an interface library (libblas.so.3) may be mapped beside the library that works.
const KnownBlas known_blas[] = {
    {"OpenBLAS", "^libopenblas[a-z0-9_]*?-?r?([0-9][0-9.]*[0-9])?\\.so"},
    {"MKL", "^libmkl_(?:rt|core)\\.so(?:\\.([0-9]+))?"},
    {"BLIS", "^libblis[a-z0-9-]*\\.so"},
    {"ATLAS", "^lib(?:atlas|satlas|tatlas)\\.so"},
    {"reference BLAS", "^libblas\\.so"},
};

}  // namespace

std::string blas_in_maps(const std::string& maps) {
  std::vector<std::string> paths;
  std::istringstream lines(maps);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t start = line.find('/');
    if (start == std::string::npos) continue;
    const std::string path = line.substr(start);
    if (path.find(".so") != std::string::npos && std::find(paths.begin(), paths.end(), path) == paths.end()) {
      paths.push_back(path);
    }
  }
  for (const KnownBlas& blas : known_blas) {
    const std::regex pattern(blas.file);
    std::string found;
    for (const std::string& path : paths) {
      const std::size_t slash = path.rfind('/');
      const std::string file = path.substr(slash + 1);
      std::smatch match;
      if (!std::regex_search(file, match, pattern)) continue;
      const std::string folder_path = path.substr(0, slash);
      std::string description = blas.name;
      if (match.size() > 1 && match[1].matched) description += " " + match[1].str();
      description += " (" + folder_path.substr(folder_path.rfind('/') + 1) + ")";
      if (found.find(description) == std::string::npos) found += (found.empty() ? "" : " and ") + description;
    }
    if (!found.empty()) return found;
  }
  return "unknown";
}

Environment environment() {
  Environment result;
  result.version = GIBBSITE_VERSION;
  result.commit = GIBBSITE_COMMIT;
  result.libtorch = TORCH_VERSION;
  result.blas = blas_in_maps(text_of("/proc/self/maps"));
  if (const std::string kernels = openblas_kernels(); !kernels.empty()) result.blas += ", " + kernels + " kernels";
  result.cpu = first_match(text_of("/proc/cpuinfo"), "model name\\s*: *([^\n]*)", "unknown");
  result.capability = first_match(at::show_config(), "CPU capability usage: ([^\n]*)", "unknown");
  result.threads = at::get_num_threads();
  result.os = operating_system();
  return result;
}

NamedStrings named_strings(const Environment& environment) {
  return {{"version", environment.version},
          {"commit", environment.commit},
          {"libtorch", environment.libtorch},
          {"blas", environment.blas},
          {"cpu", environment.cpu},
          {"capability", environment.capability},
          {"threads", std::to_string(environment.threads)},
          {"os", environment.os}};
}

std::string json_text(const Environment& environment) {
  nlohmann::ordered_json json;
  for (const auto& [name, value] : named_strings(environment)) json[name] = value;
  json["threads"] = environment.threads;
  return json.dump();
}

bool Environment::operator==(const Environment& other) const { return named_strings(*this) == named_strings(other); }

}  // namespace gibbsite
