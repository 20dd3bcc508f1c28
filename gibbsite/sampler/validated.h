// Options that were filled in code are held to the ranges that recipes are.
#pragma once

#include <gibbsite/core/options.h>

#include <string>

namespace gibbsite {

/// The settings, or RequestError naming `path` and the option out of range.
template <class Settings>
Settings validated(const Settings& settings, const std::string& path) {
  Config table = Config::table();
  echo_options(settings, table);
  return read_options<Settings>(table, path);
}

}  // namespace gibbsite
