#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/text.h>
#include <gibbsite/data/named_set.h>
#include <gibbsite/recipe/list.h>
#include <torch/types.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "command.h"

namespace gibbsite::app {
namespace {

void show_list(const Common& common) {
  const std::vector<Listed> entries = list_family("datasets");
  if (common.json) {
    fmt::print("{}\n", json_text(entries));
    return;
  }
  for (const Listed& entry : entries) fmt::print("{}  {}\n", entry.name, entry.summary);
}

// Reads the set once, so that a missing or damaged file is known before training.
void get(const std::string& name, const std::string& from, const Common& common) {
  std::vector<std::string> names;
  for (const NamedSet& set : named_sets()) {
    names.push_back(set.name);
    if (set.name != name) continue;
    DataPath path = common.path();
    if (from.find("://") != std::string::npos)
      throw WorkError("data get", "this build does not download", fmt::format("fetch it yourself: {}", set.how));
    if (!from.empty()) {
      if (!std::filesystem::is_directory(from)) throw WorkError(from, "no such folder");
      path.folders = {from};
    }
    const Published published = set.load(set, path);
    const std::int64_t train = published.train ? published.train->size() : 0;
    const std::int64_t test = published.test ? published.test->size() : 0;
    if (common.json)
      fmt::print("{}\n", nlohmann::ordered_json({{"name", name}, {"train", train}, {"test", test}}).dump(2));
    else
      fmt::print("{} is readable: {} training, {} test rows\n", name, train, test);
    return;
  }
  throw RequestError("data get", fmt::format("unknown data set '{}'", name), name_hint(name, names));
}

void info(const std::string& file, const Common& common) {
  const Dataset rows = load_file(file);
  const Tensor x = rows.x.to(torch::kDouble);
  const bool any = x.numel() > 0;
  nlohmann::ordered_json document = {{"file", file},
                                     {"rows", rows.size()},
                                     {"event", rows.event()},
                                     {"type", c10::toString(rows.x.scalar_type())},
                                     {"low", any ? x.min().item<double>() : 0.0},
                                     {"high", any ? x.max().item<double>() : 0.0},
                                     {"columns", rows.columns}};
  if (common.json)
    fmt::print("{}\n", document.dump(2));
  else
    fmt::print("{}: {} rows of {}, {}, values in [{:.6g}, {:.6g}]\n", file, rows.size(), format_shape(rows.event()),
               c10::toString(rows.x.scalar_type()), document["low"].get<double>(), document["high"].get<double>());
}

}  // namespace

void add_data(CLI::App& app, Context& context) {
  CLI::App* data = app.add_subcommand("data", "data sets");
  data->require_subcommand(1);
  subcommand(*data, context, "list", "data sets by name", [&context] { show_list(context.common); });
  struct Options {
    std::string name, from, file;
  };
  const auto o = std::make_shared<Options>();
  CLI::App* getter = subcommand(*data, context, "get", "checks that a data set is there and readable",
                                [o, &context] { get(o->name, o->from, context.common); });
  getter->add_option("name", o->name, "data set")->required();
  getter->add_option("--from", o->from, "folder that holds it");
  CLI::App* describer = subcommand(*data, context, "info", "rows, sizes and range of a file",
                                   [o, &context] { info(o->file, context.common); });
  describer->add_option("file", o->file, "CSV, NPY, NPZ or IDX file")->required();
}

}  // namespace gibbsite::app
