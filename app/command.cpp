#include "command.h"

namespace gibbsite::app {
namespace {

// CLI11's own check for this prints the whole range of a double.
const CLI::Validator kNatural(
    [](std::string& text) {
      const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
      return digits ? std::string() : "'" + text + "' is not a whole number >= 0";
    },
    "", "");

}  // namespace

CLI::App* subcommand(CLI::App& app, Context& context, const std::string& name, const std::string& help,
                     std::function<void()> work) {
  CLI::App* command = app.add_subcommand(name, help);
  Common& common = context.common;
  command->add_option("--threads", common.threads, "threads; 0: as many as cores")->check(kNatural);
  command->add_option("--device", common.device, "cpu, cuda or cuda:<index>");
  command->add_option("--data-dir", common.data_dir, "where data sets are looked for first");
  command->add_option("--seed", common.seed, "seed of every random stream")->check(kNatural);
  command->add_flag("--json", common.json, "one JSON document on stdout");
  command->callback([&context, work = std::move(work)] { context.selected = work; });
  return command;
}

void add_set(CLI::App& command, std::vector<std::string>& set) {
  command.add_option("--set", set, "overrides a key of the recipe: key=value")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

}  // namespace gibbsite::app
