#include <fmt/format.h>
#include <gibbsite/recipe/report.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "command.h"

namespace gibbsite::app {

void add_report(CLI::App& app, Context& context) {
  struct Options {
    std::vector<std::string> directories;
    std::string out;
  };
  const auto o = std::make_shared<Options>();
  CLI::App* command = subcommand(app, context, "report", "one page about runs and reproductions", [o, &context] {
    const std::string file = report_directories(o->directories, o->out, context.ports);
    if (context.common.json)
      fmt::print("{}\n", nlohmann::ordered_json({{"file", file}}).dump(2));
    else
      fmt::print("{}\n", file);
  });
  command->add_option("directories", o->directories, "runs and reproductions")->required();
  command->add_option("--out", o->out, "report.html");
}

}  // namespace gibbsite::app
