// Registration is one visible line in an explicit table per family. The table feeds `list`, error hints, help, reference
// pages and the contract tests.
#pragma once

#include <fmt/format.h>
#include <gibbsite/core/config.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/options.h>
#include <gibbsite/core/text.h>

#include <string>
#include <vector>

namespace gibbsite {

/// `Factory` is the family's function type. `smallest` is the smallest valid configuration, used by the contract tests.
template <class Factory>
struct Entry {
  std::string name;
  std::string summary;  ///< one line
  std::string paper;    ///< where it comes from
  Factory make;
  std::vector<OptionDescription> (*options)();
  Config smallest = Config::table();
};

template <class Factory>
using Table = std::vector<Entry<Factory>>;

/// Throws RequestError at `origin`, with the nearest known name, if the table has no such entry.
template <class Factory>
const Entry<Factory>& find_entry(const Table<Factory>& table, const std::string& family, const std::string& name,
                                 const std::string& origin) {
  std::vector<std::string> names;
  for (const Entry<Factory>& entry : table) {
    if (entry.name == name) return entry;
    names.push_back(entry.name);
  }
  throw RequestError(origin, fmt::format("unknown {} '{}'", family, name), name_hint(name, names));
}

}  // namespace gibbsite
