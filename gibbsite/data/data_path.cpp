#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gibbsite/core/error.h>
#include <gibbsite/data/data_path.h>

#include <cstdlib>
#include <filesystem>

namespace gibbsite {

DataPath DataPath::standard(const std::string& data_dir) {
  DataPath path;
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value ? value : "");
  };
  if (!data_dir.empty()) path.folders.push_back(data_dir);
  if (const std::string folder = variable("GIBBSITE_DATA"); !folder.empty()) path.folders.push_back(folder);
  if (const std::string base = variable("XDG_DATA_HOME"); !base.empty())
    path.folders.push_back(base + "/gibbsite");
  else if (const std::string home = variable("HOME"); !home.empty())
    path.folders.push_back(home + "/.local/share/gibbsite");
  return path;
}

std::optional<std::string> DataPath::find(const std::string& relative) const {
  std::vector<std::string> names = {relative};
  if (relative.size() > 3 && relative.compare(relative.size() - 3, 3, ".gz") == 0)
    names.push_back(relative.substr(0, relative.size() - 3));
  std::error_code ignored;
  for (const std::string& folder : folders)
    for (const std::string& name : names) {
      const std::string file = (std::filesystem::path(folder) / name).string();
      if (std::filesystem::exists(file, ignored)) return file;
    }
  return std::nullopt;
}

std::string DataPath::require(const std::string& name, const std::string& relative, const std::string& how) const {
  if (const auto file = find(relative)) return *file;
  throw WorkError(fmt::format("data set {}", name),
                  fmt::format("{} not found in {}", relative,
                              folders.empty() ? "any folder" : fmt::format("{}", fmt::join(folders, ", "))),
                  fmt::format("{}; say where with --data-dir or GIBBSITE_DATA", how));
}

}  // namespace gibbsite
