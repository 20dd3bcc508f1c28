#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/data/npy.h>
#include <gibbsite/recipe/report.h>
#include <gibbsite/recipe/run_directory.h>
#include <gibbsite/recipe/sample.h>
#include <gibbsite/recipe/write.h>
#include <gibbsite/report/html.h>
#include <gibbsite/report/image.h>
#include <gibbsite/report/plot_data.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

namespace gibbsite {
namespace {

namespace fs = std::filesystem;

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// Below the directory, sorted by path.
std::vector<fs::path> files_that_end(const std::string& directory, const std::string& end) {
  std::error_code error;
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(directory, error))
    if (ends_with(entry.path().filename().string(), end)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

void add(Report& report, CurvePlot plot) { report.curves.push_back(std::move(plot)); }
void add(Report& report, DensityPlot plot) { report.densities.push_back(std::move(plot)); }

// A plot for each number that training logged, a curve for each phase.
std::vector<CurvePlot> training_plots(const RunDirectory& run) {
  std::vector<CurvePlot> plots;
  for (const MetricLine& line : read_metrics(run.file("metrics.jsonl")))
    for (const auto& [name, value] : line.numbers) {
      if (!std::isfinite(value)) continue;
      auto plot = std::find_if(plots.begin(), plots.end(), [&](const CurvePlot& p) { return p.y_label == name; });
      if (plot == plots.end()) {
        CurvePlot made;
        made.title = made.y_label = name;
        made.x_label = "step";
        made.points = false;
        plots.push_back(std::move(made));
        plot = plots.end() - 1;
      }
      auto& curves = plot->curves;
      auto curve = std::find_if(curves.begin(), curves.end(), [&](const Curve& c) { return c.label == line.phase; });
      if (curve == curves.end()) {
        curves.push_back({line.phase, {}, {}, {}});
        curve = curves.end() - 1;
      }
      curve->x.push_back(static_cast<double>(line.step));
      curve->y.push_back(value);
    }
  for (CurvePlot& plot : plots)
    for (Curve& curve : plot.curves) curve = thinned(curve);
  // What training is about first, its circumstances last.
  const auto rank = [](const CurvePlot& plot) {
    const std::string& name = plot.y_label;
    if (name == "learning_rate" || name == "steps_per_second") return 3;
    return name == "loss" ? 0 : name.find("loss") != std::string::npos ? 1 : 2;
  };
  std::stable_sort(plots.begin(), plots.end(),
                   [&](const CurvePlot& a, const CurvePlot& b) { return rank(a) < rank(b); });
  return plots;
}

// Chains [draws, chains, *event]: the first coordinates of the first ones, draw by draw.
void add_traces(const std::string& name, const Tensor& x, const StoredTransforms& transforms, Report& report) {
  constexpr std::int64_t kCoordinates = 3, kChains = 4;
  const Tensor states = x.flatten(2).to(torch::kDouble);
  for (std::int64_t d = 0; d < std::min(states.size(2), kCoordinates); ++d) {
    const auto index = static_cast<std::size_t>(d);
    const std::string coordinate =
        index < transforms.columns.size() ? transforms.columns[index] : fmt::format("x.{}", d + 1);
    CurvePlot plot;
    plot.title = fmt::format("{}: trace of {}, {} of {} chains", name, coordinate, std::min(states.size(1), kChains),
                             states.size(1));
    plot.x_label = "draw";
    plot.y_label = coordinate;
    plot.points = false;
    for (std::int64_t c = 0; c < std::min(states.size(1), kChains); ++c) {
      const Tensor column = states.select(2, d).select(1, c).contiguous();
      const double* values = column.data_ptr<double>();
      Curve curve{fmt::format("chain {}", c + 1), {}, {values, values + column.numel()}, {}};
      for (std::int64_t i = 0; i < column.numel(); ++i) curve.x.push_back(static_cast<double>(i + 1));
      plot.curves.push_back(thinned(curve));
    }
    report.curves.push_back(std::move(plot));
  }
}

void add_points(const std::string& name, const Tensor& x, const StoredTransforms& transforms, Report& report) {
  constexpr std::int64_t kImages = 64;
  const std::int64_t n = x.size(0);
  if (x.dim() == 2 && x.size(1) == 2) {
    DensityPlot plot;
    plot.title = name;
    plot.panels.push_back(histogram(x, fmt::format("{} points", n)));
    report.densities.push_back(std::move(plot));
  } else if (x.dim() == 3 || (x.dim() == 4 && (x.size(1) == 1 || x.size(1) == 3))) {
    const Tensor some = x.slice(0, 0, std::min(n, kImages));
    report.pictures.push_back({fmt::format("{}: {} of {} images", name, some.size(0), n),
                               png_bytes(image_grid(unit_range(some, transforms)))});
  }
}

// What `sample` and `evaluate` left. Files beyond what a page should wait for are named in a warning.
void add_samples(const RunDirectory& run, Report& report, const Ports& ports) {
  constexpr std::uintmax_t kLargest = 500'000'000;
  const std::vector<fs::path> files = files_that_end(run.file("samples"), ".npy");
  if (files.empty()) return;
  const StoredTransforms transforms = run.read_transforms();
  const auto event = static_cast<std::int64_t>(transforms.event.size());
  for (const fs::path& file : files) {
    if (fs::file_size(file) > kLargest) {
      ports.logger->warn(fmt::format("{} is left out of the report: too large", file.string()));
      continue;
    }
    const Tensor x = read_npy(file.string());
    const std::string name = fs::relative(file, run.path()).string();
    if (x.numel() == 0) continue;
    if (x.dim() == event + 2) {
      add_traces(name, x, transforms, report);
      add_points(name, x.flatten(0, 1), transforms, report);
    } else if (x.dim() == event + 1) {
      add_points(name, x, transforms, report);
    }
  }
}

void add_run(const std::string& directory, Report& report, const Ports& ports) {
  const RunDirectory run = RunDirectory::open(directory);
  const Config recipe = run.recipe();
  const Config* title = recipe.find("title");
  report.summary.push_back(title && !title->string().empty() ? fmt::format("{}: {}", directory, title->string())
                                                             : directory);
  TextTable settings{directory + "/recipe.toml", {"setting", "value"}, {}};
  for (const std::string& table : recipe.keys()) {
    const Config& node = *recipe.find(table);
    if (!node.is_table()) {
      settings.body.push_back({table, write_value(node)});
      continue;
    }
    for (const std::string& key : node.keys())
      settings.body.push_back({table + "." + key, write_value(*node.find(key))});
  }
  report.settings.push_back(std::move(settings));
  for (CurvePlot& plot : training_plots(run)) report.curves.push_back(std::move(plot));
  add_samples(run, report, ports);
  if (fs::exists(run.file("evaluation.json"))) add_result(report, read_result(run.file("evaluation.json")));
}

}  // namespace

void add_pictures(Report& report, const std::string& directory) {
  std::vector<std::string> drawn;
  for (const fs::path& file : files_that_end(directory, kPlotFile)) {
    std::visit([&](auto&& plot) { add(report, std::forward<decltype(plot)>(plot)); },
               parse_plot(read_file(file.string()), file.string()));
    const std::string name = file.string();
    drawn.push_back(name.substr(0, name.size() - std::string(kPlotFile).size()) + ".png");
  }
  for (const fs::path& file : files_that_end(directory, ".png"))
    if (std::find(drawn.begin(), drawn.end(), file.string()) == drawn.end())
      report.pictures.push_back(read_picture(file.string(), fs::relative(file, directory).string()));
}

void add_training(Report& report, const std::string& directory) {
  constexpr std::size_t kRuns = 6;
  const std::vector<fs::path> logs = files_that_end(directory, "metrics.jsonl");
  if (logs.size() > kRuns) return;
  for (const fs::path& log : logs) {
    const fs::path run = log.parent_path();
    if (!fs::exists(run / "recipe.toml")) continue;
    for (CurvePlot& plot : training_plots(RunDirectory::open(run.string()))) {
      if (plot.y_label != "loss") continue;
      plot.title = fmt::format("{}: training loss", fs::relative(run, directory).string());
      report.curves.push_back(std::move(plot));
    }
  }
}

std::string report_directories(const std::vector<std::string>& directories, const std::string& out,
                               const Ports& ports) {
  if (directories.empty()) throw RequestError("report", "names no directory");
  Report report;
  report.title = directories.size() == 1 ? directories.front() : "gibbsite report";
  report.environment = named_strings(environment());
  for (const std::string& directory : directories) {
    if (fs::exists(directory + "/result.json")) {
      const Result result = read_result(directory + "/result.json");
      if (directories.size() == 1) report.title = result.experiment;
      add_result(report, result);
      add_training(report, directory);
    } else if (fs::exists(directory + "/recipe.toml")) {
      add_run(directory, report, ports);
    } else {
      throw WorkError(directory, "is neither a run nor a reproduction");
    }
    add_pictures(report, directory);
  }
  const std::string file = out.empty() ? directories.front() + "/report.html" : out;
  write_html(file, report);
  return file;
}

}  // namespace gibbsite
