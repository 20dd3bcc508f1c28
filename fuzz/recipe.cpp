#include "fuzz.h"

#include <gibbsite/recipe/parse.h>

// A recipe, one that overrides it, and an assignment of the command line, parted by bytes of 0.
void read_bytes(const std::string& bytes) {
  const std::size_t first = bytes.find('\0'), second = first == std::string::npos ? first : bytes.find('\0', first + 1);
  gibbsite::Config recipe = gibbsite::parse_toml(bytes.substr(0, first), "recipe.toml");
  if (first == std::string::npos) return;
  recipe.merge(gibbsite::parse_toml(bytes.substr(first + 1, second == std::string::npos ? second : second - first - 1),
                                    "other.toml"));
  if (second == std::string::npos) return;
  gibbsite::apply_override(recipe, bytes.substr(second + 1));
  recipe.require_all_read();
}
// A setting of five characters is a node of the parser's tree and one of ours.
std::size_t most_bytes(std::size_t size) { return kSlack + 2000 * size; }
