#include <gibbsite/recipe/named_table.h>
#include <gibbsite/recipe/parse.h>

namespace gibbsite {
namespace {

/// A default as the option tables print it.
Config default_value(const OptionDescription& option) {
  Config value = parse_value(option.default_value, "");
  if (option.type == "number") return Config(value.real());
  if (option.type == "numbers") {
    std::vector<Config> items;
    for (const Config& item : value.items()) items.emplace_back(item.real());
    return Config::array(std::move(items));
  }
  return value;
}

}  // namespace

const Config& required_table(const Config& recipe, const std::string& key) {
  recipe.declare_key(key);
  if (!recipe.contains(key)) throw RequestError(recipe.origin(), fmt::format("the recipe has no table [{}]", key));
  return recipe.at_table(key);
}

const std::string& part_name(const Config& table, const std::string& path) {
  table.declare_key("name");
  const Config* name = table.find("name");
  if (!name) throw RequestError(table.origin(), fmt::format("{}.name is missing", path));
  if (name->kind() != Config::Kind::kString)
    throw RequestError(name->origin(), fmt::format("{}.name: expected a string, got {}", path, name->kind_name()));
  return name->string();
}

void add_defaults(Config& table, std::vector<OptionDescription> (*options)()) {
  if (!options) return;
  for (const OptionDescription& option : options())
    if (!option.conditional && !table.contains(option.name)) table.set(option.name, default_value(option));
}

}  // namespace gibbsite
