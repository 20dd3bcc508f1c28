#include <dlfcn.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/recipe/parse.h>
#include <toml++/toml.h>

#include <algorithm>
#include <filesystem>

namespace gibbsite {
namespace {

namespace fs = std::filesystem;

std::string origin_of(const toml::node& node, const std::string& source) {
  const auto line = node.source().begin.line;
  return line == 0 ? source : fmt::format("{}:{}", source, line);
}

Config convert(const toml::node& node, const std::string& source);

Config convert_table(const toml::table& table, const std::string& source) {
  // The parser sorts keys by name; a resolved recipe keeps the order of the file.
  std::vector<std::pair<const toml::key*, const toml::node*>> entries;
  for (const auto& [key, value] : table) entries.emplace_back(&key, &value);
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    const toml::source_position x = a.first->source().begin, y = b.first->source().begin;
    return x.line != y.line ? x.line < y.line : x.column < y.column;
  });
  Config config = Config::table();
  for (const auto& [key, value] : entries) {
    Config& node = config.set(std::string(key->str()), convert(*value, source));
    if (key->source().begin.line != 0) node.set_origin(fmt::format("{}:{}", source, key->source().begin.line));
  }
  return config;
}

Config convert(const toml::node& node, const std::string& source) {
  Config config;
  switch (node.type()) {
    case toml::node_type::table: config = convert_table(*node.as_table(), source); break;
    case toml::node_type::array: {
      std::vector<Config> items;
      for (const toml::node& item : *node.as_array()) items.push_back(convert(item, source));
      config = Config::array(std::move(items));
      break;
    }
    case toml::node_type::string: config = Config(node.as_string()->get()); break;
    case toml::node_type::integer: config = Config(node.as_integer()->get()); break;
    case toml::node_type::floating_point: config = Config(node.as_floating_point()->get()); break;
    case toml::node_type::boolean: config = Config(node.as_boolean()->get()); break;
    default: throw RequestError(origin_of(node, source), "dates and times have no meaning here", "quote it");
  }
  config.set_origin(origin_of(node, source));
  return config;
}

toml::table parse_text(const std::string& text, const std::string& source) {
  try {
    return toml::parse(text, source);
  } catch (const toml::parse_error& error) {
    const auto line = error.source().begin.line;
    throw RequestError(line == 0 ? source : fmt::format("{}:{}", source, line), std::string(error.description()));
  }
}

Config load(const fs::path& path, std::vector<fs::path>& open) {
  std::error_code ignored;
  const fs::path canonical = fs::weakly_canonical(path, ignored);
  if (std::find(open.begin(), open.end(), canonical) != open.end())
    throw RequestError(path.string(), "extends itself, directly or through others");
  open.push_back(canonical);
  std::string text;
  try {
    if (fs::is_directory(path)) throw RequestError(path.string(), "is a folder, expected a recipe");
    text = read_file(path.string());
  } catch (const WorkError& error) {
    throw RequestError("", error.what());
  }
  Config own = parse_toml(text, path.string());
  Config recipe = Config::table();
  if (const Config* extends = own.find("extends")) {
    std::vector<std::string> bases;
    if (extends->kind() == Config::Kind::kArray)
      for (const Config& base : extends->items()) bases.push_back(base.string());
    else
      bases.push_back(extends->string());
    for (const std::string& base : bases) recipe.merge(load(path.parent_path() / base, open));
    own.erase("extends");
  }
  recipe.merge(own);
  open.pop_back();
  return recipe;
}

}  // namespace

Config parse_toml(const std::string& text, const std::string& source) {
  return convert_table(parse_text(text, source), source);
}

Config parse_value(const std::string& text, const std::string& source) {
  try {
    const toml::table table = toml::parse("value = " + text, source);
    if (table.size() == 1 && table.contains("value")) {
      Config value = convert(*table.get("value"), source);
      value.set_origin(source);
      return value;
    }
  } catch (const toml::parse_error&) {
    // Not a TOML value: a bare word.
  }
  Config value(text);
  value.set_origin(source);
  return value;
}

void apply_override(Config& recipe, const std::string& assignment) {
  const std::size_t equals = assignment.find('=');
  const std::string key = assignment.substr(0, equals);
  if (equals == std::string::npos || key.empty() || key.front() == '.' || key.back() == '.' ||
      key.find("..") != std::string::npos)
    throw RequestError("--set", fmt::format("'{}' is not of the form key=value", assignment),
                       "for example sampler.step_size=0.01");
  const std::string origin = "--set " + key;
  Config value = parse_value(assignment.substr(equals + 1), origin);
  Config& node = recipe.at_path(key);
  node = std::move(value);
  // Tables made on the way have no origin of their own.
  for (std::size_t dot = key.find('.'); dot != std::string::npos; dot = key.find('.', dot + 1)) {
    Config& parent = recipe.at_path(key.substr(0, dot));
    if (parent.origin().empty()) parent.set_origin(origin);
  }
}

Config load_recipe(const std::string& path, const std::vector<std::string>& overrides) {
  std::vector<fs::path> open;
  Config recipe = load(path, open);
  for (const std::string& assignment : overrides) apply_override(recipe, assignment);
  return recipe;
}

std::vector<std::string> recipe_folders() {
  std::vector<fs::path> starts;
  std::error_code error;
  const fs::path executable = fs::read_symlink("/proc/self/exe", error);
  if (!error) starts.push_back(executable.parent_path());
  // A module of another program finds the recipes beside itself, not beside that program.
  Dl_info image;
  if (::dladdr(reinterpret_cast<const void*>(&recipe_folders), &image) != 0 && image.dli_fname != nullptr)
    starts.push_back(fs::absolute(image.dli_fname, error).parent_path());
  std::vector<std::string> folders;
  for (const fs::path& start : starts) {
    bool found = false;
    for (fs::path folder = start; !found && folder != folder.root_path(); folder = folder.parent_path())
      for (const char* place : {"recipes", "share/gibbsite/recipes"})
        if (!found && fs::is_directory(folder / place, error)) {
          found = true;
          const std::string path = (folder / place).string();
          if (std::find(folders.begin(), folders.end(), path) == folders.end()) folders.push_back(path);
        }
  }
  return folders;
}

std::vector<std::string> recipe_names() {
  std::vector<std::string> names;
  for (const std::string& folder : recipe_folders())
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
      const fs::path relative = entry.path().lexically_relative(folder);
      if (entry.path().extension() == ".toml" && *relative.begin() != "base")
        names.push_back(fs::path(relative).replace_extension().generic_string());
    }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

std::string find_recipe(const std::string& path) {
  std::vector<fs::path> folders = {"", "recipes"};
  for (const std::string& folder : recipe_folders()) folders.emplace_back(folder);
  std::error_code error;
  for (const fs::path& folder : folders)
    for (const char* extension : {"", ".toml"}) {
      const fs::path candidate = folder / (path + extension);
      if (fs::is_regular_file(candidate, error)) return candidate.string();
    }
  std::vector<std::string> names;
  names.reserve(folders.size());
  for (const fs::path& folder : folders) names.push_back(folder.empty() ? "." : folder.string());
  throw RequestError(path, "no such recipe", fmt::format("looked in {}", fmt::join(names, ", ")));
}

}  // namespace gibbsite
