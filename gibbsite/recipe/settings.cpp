#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/recipe/settings.h>

namespace gibbsite {

std::vector<std::string> read_strings(const Config& table, const std::string& key,
                                      const std::vector<std::string>& otherwise) {
  table.declare_key(key);
  const Config* node = table.find(key);
  if (!node) return otherwise;
  if (node->kind() == Config::Kind::kString) return {node->string()};
  if (node->kind() != Config::Kind::kArray)
    throw RequestError(node->origin(), fmt::format("{}: expected an array of strings, got {}", key, node->kind_name()));
  std::vector<std::string> items;
  for (const Config& item : node->items()) {
    if (item.kind() != Config::Kind::kString)
      throw RequestError(node->origin(),
                         fmt::format("{}: expected an array of strings, got {}", key, item.kind_name()));
    items.push_back(item.string());
  }
  return items;
}

}  // namespace gibbsite
