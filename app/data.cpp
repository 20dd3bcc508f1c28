#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/text.h>
#include <gibbsite/data/named_set.h>
#include <gibbsite/recipe/fetch.h>
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

// All pictures are read and none is kept, so they are looked at small.
FileOptions small_pictures() {
  FileOptions options;
  options.images.size = 16;
  return options;
}

bool readable(const NamedSet& set, const DataPath& path) {
  try {
    set.load(set, path, small_pictures());
    return true;
  } catch (const WorkError&) {
    return false;
  }
}

// Brings the files that have mirrors, then reads the set once, so that a missing or damaged file is known before training.
void get(const std::string& name, const std::string& from, const Context& context) {
  const Common& common = context.common;
  std::vector<std::string> names;
  const NamedSet* set = nullptr;
  for (const NamedSet& entry : named_sets()) {
    names.push_back(entry.name);
    if (entry.name == name) set = &entry;
  }
  if (!set) throw RequestError("data get", fmt::format("unknown data set '{}'", name), name_hint(name, names));
  FetchRequest request;
  request.name = name;
  request.from = from;
  request.into = common.data_dir;
  request.path = common.path();
  FetchOutcome fetched;
  if (has_sources(name)) {
    try {
      fetched = fetch_set(request, context.ports);
    } catch (const WorkError& error) {
      // Files in another form, unpacked say, serve as well.
      if (!from.empty() || !readable(*set, request.path)) throw;
      context.ports.logger->warn(fmt::format("taking what is there: {}", error.what()));
    }
  } else if (!from.empty()) {
    if (!std::filesystem::is_directory(from)) throw WorkError(from, "no such folder");
    request.path.folders = {from};
  }
  const Published published = set->load(*set, request.path, small_pictures());
  const std::int64_t train = published.train ? published.train->size() : 0;
  const std::int64_t test = published.test ? published.test->size() : 0;
  if (common.json) {
    const nlohmann::ordered_json document = {
        {"name", name}, {"train", train}, {"test", test}, {"fetched", fetched.fetched}, {"present", fetched.present}};
    fmt::print("{}\n", document.dump(2));
    return;
  }
  for (const std::string& file : fetched.fetched) fmt::print("{}\n", file);
  fmt::print("{} is readable: {} training, {} test rows\n", name, train, test);
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
  CLI::App* getter = subcommand(*data, context, "get", "downloads a data set, or checks one that is there",
                                [o, &context] { get(o->name, o->from, context); });
  getter->add_option("name", o->name, "data set")->required();
  getter->add_option("--from", o->from, "folder or URL that holds its files, in place of the mirrors");
  CLI::App* describer = subcommand(*data, context, "info", "rows, sizes and range of a file",
                                   [o, &context] { info(o->file, context.common); });
  describer->add_option("file", o->file, "CSV, NPY, NPZ or IDX file")->required();
}

}  // namespace gibbsite::app
