// A tree of settings as TOML text.
#pragma once

#include <gibbsite/core/config.h>

#include <string>

namespace gibbsite {

/// Reads back to the same tree, bit for bit, with the values of every table before its tables.
std::string write_toml(const Config& config);

/// One value on one line, e.g. for a message.
std::string write_value(const Config& value);

}  // namespace gibbsite
