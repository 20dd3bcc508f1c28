#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/text.h>
#include <gibbsite/data/csv.h>
#include <gibbsite/data/named_set.h>
#include <gibbsite/data/npy.h>
#include <gibbsite/metric/quadrature.h>
#include <gibbsite/model/normalised_energy.h>
#include <gibbsite/recipe/sample.h>
#include <gibbsite/recipe/score.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <filesystem>

namespace gibbsite {
namespace {

constexpr std::int64_t kChunk = 512;

bool generated(const std::string& name) {
  const auto& table = density_table();
  return std::any_of(table.begin(), table.end(), [&](const auto& entry) { return entry.name == name; });
}

// Energies as score_points has them.
Tensor original_energies(const Parts& parts, const Tensor& x, const Ports& ports) {
  const torch::NoGradGuard no_graph;
  parts.freeze();
  const Pipeline& pipeline = parts.transforms.pipeline;
  const Target target = target_of(parts);
  std::vector<Tensor> energies;
  for (std::int64_t first = 0; first < x.size(0); first += kChunk) {
    if (ports.interrupt->requested()) throw Interrupted("score", "stopped; nothing was written");
    const Tensor rows = x.narrow(0, first, std::min(kChunk, x.size(0) - first)).to(parts.dtype);
    const Tensor y = pipeline.forward(rows).to(parts.like().options());
    energies.push_back(target.energy(y).to(torch::kDouble).cpu() - pipeline.log_abs_det(rows).to(torch::kDouble).cpu());
    ports.logger->progress("held-out energies", static_cast<double>(first) / static_cast<double>(x.size(0)));
  }
  return torch::cat(energies);
}

// The validation or test rows of the run, which may not be loaded.
Dataset split_of_run(const PointsRun& points, bool validation, const DataPath& path) {
  const Parts& parts = points.parts;
  std::unique_ptr<Data> loaded;
  if (!parts.data) loaded = make_data(parts.resolved.at_table("data"), parts.rng("data"), path);
  const Splits& splits = parts.data ? parts.data->splits : loaded->splits;
  return validation ? splits.validation : splits.test;
}

// Nothing where nobody asked for p values and there is nothing to count them among.
std::optional<ConformalTest> calibrated_test(const ScoreRequest& request, const PointsRun& points, const Ports& ports) {
  const Parts& parts = points.parts;
  const bool asked = request.false_alarm || !request.calibration.empty();
  if (!parts.energy) {
    if (asked) parts.require_energy(request.false_alarm ? "--false-alarm" : "--calibration");
    return std::nullopt;
  }
  const std::string& name = request.calibration;
  Dataset rows;
  try {
    if (name.empty() || name == "validation") rows = split_of_run(points, true, request.path);
    if (rows.size() == 0 && (name == "test" || (name.empty() && !request.data.empty())))
      rows = split_of_run(points, false, request.path);
    if (!name.empty() && name != "validation" && name != "test") rows = held_out(parts, name, request.path);
    if (rows.size() == 0)
      throw RequestError("--calibration",
                         fmt::format("there are no {} rows to calibrate by", name.empty() ? "held-out" : name),
                         "name a data set or a file");
  } catch (const Error& error) {
    if (asked) throw;
    ports.logger->warn(fmt::format("no p values: {}", error.what()));
    return std::nullopt;
  }
  return ConformalTest(original_energies(parts, rows.x, ports));
}

}  // namespace

Scores score_points(const Parts& parts, const Tensor& x, const Ports& ports) {
  parts.freeze();
  const Pipeline& pipeline = parts.transforms.pipeline;
  const Target target = target_of(parts);
  std::vector<Tensor> energies, scores;
  for (std::int64_t first = 0; first < x.size(0); first += kChunk) {
    if (ports.interrupt->requested()) throw Interrupted("score", "stopped; nothing was written");
    const Tensor rows = x.narrow(0, first, std::min(kChunk, x.size(0) - first)).to(parts.dtype);
    const Tensor y = pipeline.forward(rows).to(parts.like().options());
    EnergyScore at_y;
    if (parts.energy) {
      at_y = energy_and_score(target, y, "score");
      energies.push_back(at_y.energy.to(torch::kDouble).cpu() - pipeline.log_abs_det(rows).to(torch::kDouble).cpu());
    } else {
      at_y.score = score_of(target, y);
    }
    scores.push_back(pipeline.pull_score(rows, at_y.score.cpu()).detach());
    ports.logger->progress("score", static_cast<double>(first) / static_cast<double>(x.size(0)));
  }
  Scores result;
  result.score = torch::cat(scores);
  check_finite("score", "score", result.score);
  if (!parts.energy) return result;
  result.energy = torch::cat(energies);
  check_finite("score", "energy", result.energy);
  const Shape& event = parts.transforms.model_event;
  if (dynamic_cast<const NormalisedEnergy*>(parts.energy.get())) {
    result.log_density = -result.energy;
  } else if (!parts.flat()) {
    if (parts.manifold->dimension() > 3) return result;
    const Tensor points = pipeline.forward(x.to(parts.dtype)).to(parts.like().options());
    result.log_density = -result.energy - log_normaliser(target.energy, *parts.manifold, points).log_z;
  } else if (event.size() == 1 && event[0] <= 2) {
    const Box box = data_box(torch::stack({parts.transforms.low, parts.transforms.high}));
    result.log_density = -result.energy - quadrature(target.energy, box, parts.like()).log_z;
  }
  return result;
}

Dataset in_columns_of_run(const Dataset& rows, const Parts& parts, const char* option) {
  const std::vector<std::string>& columns = parts.transforms.columns;
  if (columns.empty() || !has_names(rows.columns) || rows.columns == columns) return rows;
  std::vector<std::int64_t> order;
  for (const std::string& column : columns) {
    const auto found = std::find(rows.columns.begin(), rows.columns.end(), column);
    if (found == rows.columns.end())
      throw RequestError(option, fmt::format("{} has no column '{}'", rows.source, column),
                         name_hint(column, rows.columns));
    order.push_back(found - rows.columns.begin());
  }
  Dataset ordered = rows;
  ordered.x = rows.x.index_select(1, torch::tensor(order, torch::kLong));
  ordered.columns = columns;
  return ordered;
}

Dataset held_out(const Parts& parts, const std::string& name, const DataPath& path) {
  Dataset rows;
  if (name.empty() || (name == data_name(parts) && generated(name))) {
    if (!parts.data) throw RequestError("--data", "the data of the run are not loaded");
    rows = parts.data->splits.test;
  } else {
    FileOptions options = file_options(parts);
    // A file may lack the column that is the label of the training data.
    if (const Config* label = parts.resolved.at_table("data").find("label_column"))
      options.label_column = label->string();
    try {
      rows = load_for_evaluation(name, path, "--data", options);
    } catch (const RequestError&) {
      if (options.label_column.empty()) throw;
      options.label_column.clear();
      rows = load_for_evaluation(name, path, "--data", options);
    }
    rows = in_columns_of_run(rows, parts, "--data");
  }
  if (rows.size() == 0) throw RequestError("--data", "there are no held-out rows", "name a data set or a file");
  if (rows.event() != parts.transforms.event)
    throw RequestError("--data", fmt::format("points of '{}' are {}, those of the run are {}", name,
                                             format_shape(rows.event()), format_shape(parts.transforms.event)));
  return rows;
}

PointsRun open_points(const std::string& run_path, const std::string& data, const std::string& out,
                      const std::string& device, const std::string& folder, const DataPath& path, Logger& logger) {
  const std::filesystem::path extension = std::filesystem::path(out).extension();
  if (!out.empty() && extension != ".npz" && extension != ".csv")
    throw RequestError("--out", fmt::format("'{}' ends in none of .npz, .csv", out));
  const RunDirectory run = RunDirectory::open(run_path);
  const Config recipe = run.recipe();
  const bool own = data.empty() || (generated(data) && recipe.at_table("data").find("name")->string() == data);
  std::vector<std::string> set;
  if (!device.empty()) set.push_back("device=" + device);
  PointsRun points;
  points.parts = load_run(run, set, own, path, logger);
  points.rows = held_out(points.parts, data, path);
  const std::string stem = data.empty() ? std::string("test") : std::filesystem::path(data).stem().string();
  points.file = out.empty() ? run.file(fmt::format("{}/{}.npz", folder, stem)) : out;
  const std::filesystem::path parent = std::filesystem::path(points.file).parent_path();
  std::error_code error;
  if (!parent.empty()) std::filesystem::create_directories(parent, error);
  if (error) throw WorkError(parent.string(), fmt::format("cannot make the directory: {}", error.message()));
  return points;
}

void write_arrays(const std::string& file, const NamedTensors& arrays, const std::vector<std::string>& names) {
  if (std::filesystem::path(file).extension() == ".npz") {
    write_npz(file, arrays);
    return;
  }
  std::vector<Tensor> columns;
  std::vector<std::string> heads;
  for (const auto& [name, array] : arrays) {
    const Tensor flat = (array.dim() > 1 ? array.flatten(1) : array.unsqueeze(1)).to(torch::kDouble).cpu();
    columns.push_back(flat);
    for (std::int64_t d = 0; d < flat.size(1); ++d) {
      const auto at = static_cast<std::size_t>(d);
      const std::string own = at < names.size() ? names[at] : fmt::format("x{}", d + 1);
      heads.push_back(array.dim() == 1  ? name
                      : name.empty()    ? own
                      : name == "score" ? "score_" + own
                                        : fmt::format("{}_{}", name, d + 1));
    }
  }
  write_csv(file, torch::cat(columns, 1), heads);
}

ScoreOutcome score_run(const ScoreRequest& request, const Ports& ports) {
  const PointsRun points =
      open_points(request.run, request.data, request.out, request.device, "scores", request.path, *ports.logger);
  ScoreOutcome outcome;
  outcome.file = points.file;
  const std::optional<ConformalTest> test = calibrated_test(request, points, ports);
  if (test && request.false_alarm) outcome.alarm = test->alarm(*request.false_alarm);
  outcome.scores = score_points(points.parts, points.rows.x, ports);
  const Scores& scores = outcome.scores;
  NamedTensors arrays;
  if (std::filesystem::path(points.file).extension() == ".csv") arrays.emplace_back("", points.rows.x);
  if (scores.energy.defined()) arrays.emplace_back("energy", scores.energy);
  arrays.emplace_back("score", scores.score);
  if (scores.log_density.defined()) arrays.emplace_back("log_density", scores.log_density);
  if (test) {
    outcome.calibrated = test->size();
    outcome.p_value = test->p_values(scores.energy);
    arrays.emplace_back("p_value", outcome.p_value);
    if (outcome.alarm) {
      const Tensor alarm = scores.energy.gt(outcome.alarm->threshold);
      outcome.alarms = alarm.sum().item<std::int64_t>();
      arrays.emplace_back("alarm", alarm.to(torch::kByte));
    }
  }
  const std::vector<std::string>& columns = points.rows.columns;
  write_arrays(outcome.file, arrays, has_names(columns) ? columns : std::vector<std::string>());
  return outcome;
}

}  // namespace gibbsite
