#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/recipe/report.h>
#include <gibbsite/recipe/run_directory.h>
#include <gibbsite/recipe/write.h>
#include <gibbsite/report/html.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

namespace gibbsite {
namespace {

namespace fs = std::filesystem;

void add_pictures(const std::string& directory, Report& report) {
  std::error_code error;
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(directory, error))
    if (entry.path().extension() == ".png") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files)
    report.pictures.push_back(read_picture(file.string(), fs::relative(file, directory).string()));
}

void add_run(const std::string& directory, Report& report) {
  const RunDirectory run = RunDirectory::open(directory);
  const Config recipe = run.recipe();
  TextTable settings{directory, {"setting", "value"}, {}};
  for (const std::string& table : recipe.keys()) {
    const Config& node = *recipe.find(table);
    if (!node.is_table()) {
      settings.body.push_back({table, write_value(node)});
      continue;
    }
    for (const std::string& key : node.keys())
      settings.body.push_back({table + "." + key, write_value(*node.find(key))});
  }
  report.tables.push_back(std::move(settings));

  std::map<std::string, Curve> losses;
  for (const MetricLine& line : read_metrics(run.file("metrics.jsonl")))
    for (const auto& [name, value] : line.numbers) {
      if (name != "loss" || !std::isfinite(value)) continue;
      Curve& curve = losses[line.phase];
      curve.label = line.phase;
      curve.x.push_back(static_cast<double>(line.step));
      curve.y.push_back(value);
    }
  CurvePlot plot;
  plot.title = "loss";
  plot.x_label = "step";
  plot.y_label = "loss";
  plot.points = false;
  for (auto& [name, curve] : losses) plot.curves.push_back(std::move(curve));
  if (!plot.curves.empty()) report.curves.push_back(std::move(plot));
  if (fs::exists(run.file("evaluation.json")))
    report.tables.push_back(summary_table(read_result(run.file("evaluation.json"))));
}

}  // namespace

std::string report_directories(const std::vector<std::string>& directories, const std::string& out, const Ports&) {
  if (directories.empty()) throw RequestError("report", "names no directory");
  Report report;
  report.title = directories.size() == 1 ? directories.front() : "gibbsite report";
  report.environment = named_strings(environment());
  for (const std::string& directory : directories) {
    if (fs::exists(directory + "/result.json"))
      report.tables.push_back(summary_table(read_result(directory + "/result.json")));
    else if (fs::exists(directory + "/recipe.toml"))
      add_run(directory, report);
    else
      throw WorkError(directory, "is neither a run nor a reproduction");
    add_pictures(directory, report);
  }
  const std::string file = out.empty() ? directories.front() + "/report.html" : out;
  write_html(file, report);
  return file;
}

}  // namespace gibbsite
