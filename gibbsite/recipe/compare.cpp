#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/manifold/geodesic_jet.h>
#include <gibbsite/metric/score_matching_loss.h>
#include <gibbsite/recipe/compare.h>
#include <gibbsite/recipe/score.h>
#include <gibbsite/report/rows.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

namespace gibbsite {
namespace {

constexpr std::int64_t kExactLaplacian = 64;
constexpr std::int64_t kDirections = 8;

// [N] terms of a metric under every run, undefined where a run has none.
ComparedMetric paired(const std::string& metric, const std::string& unit, const std::vector<Tensor>& terms) {
  ComparedMetric compared;
  compared.metric = metric;
  compared.unit = unit;
  compared.paired = true;
  for (const Tensor& own : terms) {
    compared.values.push_back(own.defined() ? mean_estimate(own) : Estimate());
    compared.differences.push_back(own.defined() && terms[0].defined() ? mean_estimate(own - terms[0]) : Estimate());
  }
  return compared;
}

// The energy in original units as a function to differentiate.
EnergyFn original_energy(const Parts& parts) {
  return [&parts](const Tensor& x) {
    const Tensor y = parts.transforms.pipeline.forward(x).to(parts.like().options());
    return parts.energy->energy(y) - parts.transforms.pipeline.log_abs_det(x).to(parts.like().options());
  };
}

std::string settings_of(const Row& row) {
  std::string text;
  for (const auto& [key, setting] : row.settings) {
    if (key == "seed" || key == "step" || key == "commit") continue;
    const auto* words = std::get_if<std::string>(&setting);
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", key,
                        words ? *words : fmt::format("{}", std::get<double>(setting)));
  }
  return text;
}

// Numbers that two or more evaluations hold.
std::vector<ComparedMetric> stored_metrics(const std::vector<std::string>& runs) {
  std::vector<ComparedMetric> metrics;
  for (std::size_t r = 0; r < runs.size(); ++r) {
    const std::string file = runs[r] + "/evaluation.json";
    if (!std::filesystem::exists(file)) continue;
    for (const Row& row : read_result(file).rows) {
      if (row.metric == "log_likelihood" || row.metric == "sm_loss") continue;
      const std::string settings = settings_of(row);
      auto found = std::find_if(metrics.begin(), metrics.end(), [&](const ComparedMetric& known) {
        return known.metric == row.metric && known.settings == settings;
      });
      if (found == metrics.end()) {
        ComparedMetric fresh;
        fresh.metric = row.metric;
        fresh.unit = row.unit;
        fresh.settings = settings;
        fresh.values.resize(runs.size());
        fresh.differences.resize(runs.size());
        found = metrics.insert(metrics.end(), std::move(fresh));
      }
      found->values[r].value = row.value;
      found->values[r].standard_error = row.standard_error;
    }
  }
  const auto lonely = [](const ComparedMetric& metric) {
    return std::count_if(metric.values.begin(), metric.values.end(),
                         [](const Estimate& value) { return !std::isnan(value.value); }) < 2;
  };
  metrics.erase(std::remove_if(metrics.begin(), metrics.end(), lonely), metrics.end());
  for (ComparedMetric& metric : metrics)
    for (std::size_t r = 0; r < runs.size(); ++r) {
      metric.differences[r].value = metric.values[r].value - metric.values[0].value;
      metric.differences[r].standard_error =
          r == 0 ? 0 : std::hypot(metric.values[r].standard_error, metric.values[0].standard_error);
    }
  return metrics;
}

}  // namespace

Comparison compare_runs(const CompareRequest& request, const Ports& ports) {
  if (request.runs.size() < 2) throw RequestError("compare", "needs two runs or more");
  std::vector<std::string> set;
  if (!request.device.empty()) set.push_back("device=" + request.device);
  Comparison comparison;
  comparison.runs = request.runs;
  Dataset rows;
  std::vector<Tensor> densities, losses;
  for (std::size_t r = 0; r < request.runs.size(); ++r) {
    if (ports.interrupt->requested()) throw Interrupted("compare", "stopped");
    ports.logger->progress("comparing " + request.runs[r],
                           static_cast<double>(r) / static_cast<double>(request.runs.size()));
    const Parts parts =
        load_run(RunDirectory::open(request.runs[r]), set, r == 0 && request.data.empty(), request.path, *ports.logger);
    parts.freeze();
    if (r == 0) {
      rows = held_out(parts, request.data, request.path);
      if (request.data.empty() && !parts.data->density)
        ports.logger->warn(
            "the points are test rows of the first run, which another run may have been trained on (--data FILE)");
    } else if (rows.event() != parts.transforms.event) {
      throw RequestError(request.runs[r], "its points have other sizes than those of the first run");
    }
    Tensor density, loss;
    if (parts.energy && !parts.vae.space) {
      density = score_points(parts, rows.x, ports).log_density;
      const Tensor x = rows.x.to(parts.like().options());
      const EnergyFn energy = original_energy(parts);
      loss = !parts.flat() ? riemannian_loss_terms(ScalarFunction{energy, {}}, parts.manifold.get(), x)
             : event_size(rows.event()) <= kExactLaplacian
                 ? score_matching_terms(energy, x)
                 : sliced_score_matching_terms(ScalarFunction{energy, {}}, x, kDirections, Rng(0, "compare"));
    }
    densities.push_back(density);
    losses.push_back(loss);
  }
  comparison.points = rows.size();
  const auto any = [](const std::vector<Tensor>& terms) {
    return std::any_of(terms.begin(), terms.end(), [](const Tensor& own) { return own.defined(); });
  };
  if (any(densities)) comparison.metrics.push_back(paired("log_likelihood", "nats", densities));
  if (any(losses)) comparison.metrics.push_back(paired("sm_loss", "1", losses));
  for (ComparedMetric& metric : stored_metrics(request.runs)) comparison.metrics.push_back(std::move(metric));
  return comparison;
}

std::string json_text(const Comparison& comparison) {
  using Json = nlohmann::ordered_json;
  const auto number = [](double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); };
  const auto list = [&](const std::vector<Estimate>& estimates) {
    Json items = Json::array();
    for (const Estimate& estimate : estimates)
      items.push_back({{"value", number(estimate.value)}, {"stderr", number(estimate.standard_error)}});
    return items;
  };
  Json metrics = Json::array();
  for (const ComparedMetric& metric : comparison.metrics)
    metrics.push_back({{"metric", metric.metric},
                       {"unit", metric.unit},
                       {"settings", metric.settings},
                       {"paired", metric.paired},
                       {"values", list(metric.values)},
                       {"differences", list(metric.differences)}});
  return Json({{"runs", comparison.runs}, {"points", comparison.points}, {"metrics", std::move(metrics)}}).dump(2);
}

}  // namespace gibbsite
