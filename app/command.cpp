#include "command.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>

namespace gibbsite::app {
namespace {

constexpr std::int64_t kMaximumThreads = 1024;

}  // namespace

CLI::Validator whole_number(std::int64_t low, std::int64_t high) {
  return CLI::Validator(
      [low, high](std::string& text) {
        std::int64_t value = 0;
        const char* end = text.data() + text.size();
        const auto [stop, error] = std::from_chars(text.data(), end, value);
        if (error == std::errc() && stop == end && value >= low && value <= high) return std::string();
        return fmt::format("'{}' is not a whole number from {} to {}", text, low, high);
      },
      "", "");
}

CLI::App* subcommand(CLI::App& app, Context& context, const std::string& name, const std::string& help,
                     std::function<void()> work) {
  CLI::App* command = app.add_subcommand(name, help);
  Common& common = context.common;
  command->add_option("--threads", common.threads, "threads; 0: as many as cores")
      ->check(whole_number(0, kMaximumThreads));
  command->add_option("--device", common.device, "cpu, cuda or cuda:<index>");
  command->add_option("--data-dir", common.data_dir, "where data sets are looked for first");
  command->add_option("--seed", common.seed, "seed of every random stream")
      ->check(whole_number(0, std::numeric_limits<std::int64_t>::max()));
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
