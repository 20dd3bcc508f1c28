#include <fmt/format.h>
#include <gibbsite/core/digest.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/core/text.h>
#include <gibbsite/data/named_set.h>
#include <gibbsite/recipe/fetch.h>
#include <gibbsite/recipe/parse.h>
#include <gibbsite/recipe/settings.h>

#include <algorithm>
#include <filesystem>

namespace gibbsite {
namespace {

namespace fs = std::filesystem;

bool is_url(const std::string& text) { return text.find("://") != std::string::npos; }

bool matches(const std::string& file, const Source& source) {
  std::error_code error;
  const auto size = fs::file_size(file, error);
  return !error && static_cast<std::int64_t>(size) == source.size && sha256_of_file(file) == source.sha256;
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw WorkError(folder.string(), fmt::format("cannot make the folder: {}", error.message()));
}

// Where the file may be had, in order.
std::vector<std::string> places(const Source& source, const std::string& from) {
  if (from.empty()) return source.urls;
  const std::string base = from.back() == '/' ? from : from + "/";
  return {base + source.path, base + fs::path(source.path).filename().string()};
}

void copy_into(const std::string& place, const std::string& part) {
  std::error_code error;
  if (!fs::is_regular_file(place, error)) throw WorkError(place, "no such file");
  fs::copy_file(place, part, fs::copy_options::overwrite_existing, error);
  if (error) throw WorkError(part, fmt::format("cannot write: {}", error.message()));
}

void fetch(const Source& source, const FetchRequest& request, const std::string& target, const Ports& ports) {
  const std::string part = target + ".part";
  make_folder(fs::path(target).parent_path());
  std::string last = "it has no mirrors";
  for (const std::string& place : places(source, request.from)) {
    try {
      // What an earlier attempt left may be damaged: such a file is had once more from its beginning.
      for (bool resumed = true; resumed;) {
        std::error_code none;
        resumed = is_url(place) && fs::file_size(part, none) > 0 && !none;
        if (is_url(place))
          download(place, part, source.size, request.download, ports);
        else
          copy_into(place, part);
        if (matches(part, source)) {
          fs::rename(part, target);
          return;
        }
        fs::remove(part);
      }
      throw WorkError(place, "serves other bytes than were published", "size and SHA-256 are compared");
    } catch (const WorkError& error) {
      last = error.what();
      ports.logger->warn(last);
    }
  }
  throw WorkError(fmt::format("data set {}", source.set),
                  fmt::format("{} was not to be had, at last: {}", source.path, last),
                  "--from FOLDER takes files that you have");
}

}  // namespace

std::vector<Source> read_sources(const std::string& file) {
  const std::string path = file.empty() ? find_recipe("base/sources") : file;
  const Config table = parse_toml(read_file(path), path);
  std::vector<Source> sources;
  const Config* list = table.find("file");
  if (!list) throw RequestError(path, "has no [[file]]");
  for (const Config& entry : list->items()) {
    const auto required = [&](const char* key) -> const Config& {
      const Config* found = entry.find(key);
      if (!found) throw RequestError(entry.origin(), fmt::format("[[file]] has no '{}'", key));
      return *found;
    };
    Source source;
    source.set = required("set").string();
    source.path = required("path").string();
    source.size = required("size").integer();
    source.sha256 = required("sha256").string();
    source.urls = read_strings(entry, "urls");
    const fs::path relative(source.path);
    const bool inside = relative.is_relative() && std::find(relative.begin(), relative.end(), "..") == relative.end();
    if (!inside || source.size <= 0 || source.sha256.size() != 64)
      throw RequestError(entry.origin(), "expected a path below a data folder, a size and a SHA-256 of 64 digits");
    sources.push_back(std::move(source));
  }
  return sources;
}

bool has_sources(const std::string& set) {
  const std::vector<Source> sources = read_sources();
  return std::any_of(sources.begin(), sources.end(), [&](const Source& source) { return source.set == set; });
}

FetchOutcome fetch_set(const FetchRequest& request, const Ports& ports) {
  std::vector<std::string> names;
  const NamedSet* set = nullptr;
  for (const NamedSet& entry : named_sets()) {
    names.push_back(entry.name);
    if (entry.name == request.name) set = &entry;
  }
  std::vector<Source> sources = read_sources(request.sources);
  sources.erase(std::remove_if(sources.begin(), sources.end(), [&](const Source& s) { return s.set != request.name; }),
                sources.end());
  if (!set && sources.empty())
    throw RequestError("data get", fmt::format("unknown data set '{}'", request.name), name_hint(request.name, names));
  FetchOutcome outcome;
  if (sources.empty())
    throw RequestError("data get", fmt::format("'{}' is not for download in one piece", request.name), set->how);
  const std::string into = !request.into.empty() ? request.into
                           : request.path.folders.empty()
                               ? throw RequestError("data get", "there is no data folder", "--data-dir DIR")
                               : request.path.folders.back();
  for (const Source& source : sources) {
    if (ports.interrupt->requested()) throw Interrupted("data get", "stopped; the same command goes on");
    std::vector<std::string> folders = request.path.folders;
    folders.push_back(into);
    std::string there;
    for (const std::string& folder : folders) {
      const std::string file = folder + "/" + source.path;
      if (there.empty() && matches(file, source)) there = file;
    }
    if (!there.empty()) {
      outcome.present.push_back(there);
      continue;
    }
    const std::string target = into + "/" + source.path;
    fetch(source, request, target, ports);
    outcome.fetched.push_back(target);
  }
  return outcome;
}

}  // namespace gibbsite
