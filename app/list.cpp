#include <fmt/format.h>
#include <gibbsite/recipe/list.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "command.h"

namespace gibbsite::app {

void add_list(CLI::App& app, Context& context) {
  const auto family = std::make_shared<std::string>();
  CLI::App* command = subcommand(app, context, "list", "names that recipes may use", [family, &context] {
    if (context.common.json) {
      // Without a family, all entries in one array.
      std::vector<Listed> entries;
      for (const std::string& name : family->empty() ? list_families() : std::vector<std::string>{*family})
        for (Listed& entry : list_family(name)) entries.push_back(std::move(entry));
      fmt::print("{}\n", json_text(entries));
      return;
    }
    for (const std::string& name : family->empty() ? list_families() : std::vector<std::string>{*family}) {
      if (family->empty()) fmt::print("{}\n", name);
      for (const Listed& entry : list_family(name))
        fmt::print("{}{}  {}\n", family->empty() ? "  " : "", entry.name, entry.summary);
    }
  });
  command->add_option("family", *family,
                      "models, scores, objectives, samplers, manifolds, datasets, metrics or experiments");
}

}  // namespace gibbsite::app
