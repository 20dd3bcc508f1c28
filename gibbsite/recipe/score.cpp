#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
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
  } else if (event.size() == 1 && event[0] <= 2) {
    const Box box = data_box(torch::stack({parts.transforms.low, parts.transforms.high}));
    result.log_density = -result.energy - quadrature(target.energy, box, parts.like()).log_z;
  }
  return result;
}

Dataset held_out(const Parts& parts, const std::string& name, const DataPath& path) {
  Dataset rows;
  if (name.empty() || (name == data_name(parts) && generated(name))) {
    if (!parts.data) throw RequestError("--data", "the data of the run are not loaded");
    rows = parts.data->splits.test;
  } else {
    rows = load_for_evaluation(name, path, "--data", file_options(parts));
  }
  if (rows.size() == 0) throw RequestError("--data", "there are no held-out rows", "name a data set or a file");
  if (rows.event() != parts.transforms.event)
    throw RequestError("--data", fmt::format("points of '{}' are {}, those of the run are {}", name,
                                             format_shape(rows.event()), format_shape(parts.transforms.event)));
  return rows;
}

PointsRun open_points(const std::string& run_path, const std::string& data, const std::string& out,
                      const std::string& device, const std::string& folder, const DataPath& path, Logger& logger) {
  if (!out.empty() && std::filesystem::path(out).extension() != ".npz")
    throw RequestError("--out", fmt::format("'{}' does not end in .npz", out));
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

ScoreOutcome score_run(const ScoreRequest& request, const Ports& ports) {
  const PointsRun points =
      open_points(request.run, request.data, request.out, request.device, "scores", request.path, *ports.logger);
  ScoreOutcome outcome;
  outcome.scores = score_points(points.parts, points.rows.x, ports);
  outcome.file = points.file;
  NamedTensors arrays = {{"score", outcome.scores.score}};
  if (outcome.scores.energy.defined()) arrays.emplace(arrays.begin(), "energy", outcome.scores.energy);
  if (outcome.scores.log_density.defined()) arrays.emplace_back("log_density", outcome.scores.log_density);
  write_npz(outcome.file, arrays);
  return outcome;
}

}  // namespace gibbsite
