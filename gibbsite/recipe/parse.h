// Recipes as text: TOML in, a tree of settings out. The only place that sees the TOML parser.
#pragma once

#include <gibbsite/core/config.h>

#include <set>
#include <string>
#include <vector>

namespace gibbsite {

/// Every node's origin is "<source>:<line>". Throws RequestError at that place for a syntax error and for dates.
Config parse_toml(const std::string& text, const std::string& source);

/// One value as TOML writes it; text that is no TOML value is taken as a string.
Config parse_value(const std::string& text, const std::string& source);

/// Applies "a.b.c=value": elements of arrays by number ("phase.0.steps=3"). Throws RequestError without a '='.
void apply_override(Config& recipe, const std::string& assignment);

/// "a.b.c" of "a.b.c=value", and "a", the table that the key is in.
std::string assigned_key(const std::string& assignment);
std::string table_of(const std::string& key);

/// Whether tables and keys have this key or its table.
bool covers(const std::set<std::string>& settings, const std::string& key);

/// Tables and keys that say how a run is sampled: one that is trained already follows them.
const std::set<std::string>& settings_of_sampling();

/// Reads a recipe. `extends = "base.toml"` (or an array, later ones win) names recipes that this one overrides table by
/// table, relative to its own folder. Overrides come last. Throws RequestError for a file that is missing, a syntax error
/// or a cycle.
Config load_recipe(const std::string& path, const std::vector<std::string>& overrides = {});

/// Where recipes come with the program or the library: the nearest recipes/ or share/gibbsite/recipes above it.
std::vector<std::string> recipe_folders();

/// The recipes there, by the names find_recipe takes, but those that only others extend (base/).
std::vector<std::string> recipe_names();

/// Where a recipe or experiment file is: `path` itself, else `path` below ./recipes or one of recipe_folders(). ".toml" may
/// be left out. Throws RequestError naming the places searched.
std::string find_recipe(const std::string& path);

}  // namespace gibbsite
