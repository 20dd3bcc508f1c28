// Tables of a recipe that name an entry of a table of ours: [model] name = "mlp".
#pragma once

#include <fmt/format.h>
#include <gibbsite/core/registry.h>

#include <string>
#include <vector>

namespace gibbsite {

/// The table `key` of a recipe. Throws RequestError where there is none.
const Config& required_table(const Config& recipe, const std::string& key);

/// The string `name` of a table; `path` is the table's name in errors. Throws RequestError where it is missing or no string.
const std::string& part_name(const Config& table, const std::string& path);

/// `table` with a value for every option that has none.
void add_defaults(Config& table, std::vector<OptionDescription> (*options)());

/// The entry that `options` names.
template <class Factory>
const Entry<Factory>& find_part(const Table<Factory>& table, const char* family, const Config& options,
                                const std::string& path) {
  const std::string& name = part_name(options, path);
  return find_entry(table, family, name, options.find("name")->origin());
}

/// `options` with defaults, the name first.
template <class Factory>
Config resolved_part(const Entry<Factory>& entry, const Config& options) {
  Config table = Config::table({{"name", Config(entry.name)}});
  table.merge(options);
  add_defaults(table, entry.options);
  return table;
}

/// Options as a table of their values.
template <class Settings>
Config echoed(const Settings& settings) {
  Config table = Config::table();
  echo_options(settings, table);
  return table;
}

}  // namespace gibbsite
