// One subcommand per file: each adds itself to the parser and leaves the work to do in `selected`.
#pragma once

#include <gibbsite/core/ports.h>
#include <gibbsite/data/data_path.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace gibbsite::app {

/// Options that every subcommand takes.
struct Common {
  std::int64_t threads = 0;
  std::string device;
  std::string data_dir;
  std::optional<std::int64_t> seed;
  bool json = false;
  DataPath path() const { return DataPath::standard(data_dir); }
};

struct Context {
  Common common;
  Ports ports;
  std::function<void()> selected;
};

void add_train(CLI::App& app, Context& context);
void add_sample(CLI::App& app, Context& context);
void add_score(CLI::App& app, Context& context);
void add_encode(CLI::App& app, Context& context);
void add_evaluate(CLI::App& app, Context& context);
void add_compare(CLI::App& app, Context& context);
void add_report(CLI::App& app, Context& context);
void add_check(CLI::App& app, Context& context);
void add_list(CLI::App& app, Context& context);
void add_data(CLI::App& app, Context& context);
void add_reproduce(CLI::App& app, Context& context);
void add_export(CLI::App& app, Context& context);
void add_completion(CLI::App& app, Context& context);
void add_manual(CLI::App& app, Context& context);

/// A subcommand with the common options; `work` runs after parsing.
CLI::App* subcommand(CLI::App& app, Context& context, const std::string& name, const std::string& help,
                     std::function<void()> work);
/// Accepts whole numbers from `low` to `high`. CLI11's own checks accept what does not fit or print the range of a double.
CLI::Validator whole_number(std::int64_t low, std::int64_t high);
/// --set key=value, once for each.
void add_set(CLI::App& command, std::vector<std::string>& set);

}  // namespace gibbsite::app
