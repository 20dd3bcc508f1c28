#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/recipe/guards.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace gibbsite {

std::vector<std::string> guard_layers(const std::vector<LayerNote>& layers, const std::string& objective,
                                      const std::string& origin) {
  struct Remedy {
    const char *problem, *remedy;
  };
  static const std::map<std::string, Remedy> refused = {
      {"relu", {"has no second derivative", "use softplus or silu"}},
      {"leaky_relu", {"has no second derivative", "use softplus or silu"}},
      {"max_pool", {"has no second derivative", "use average pooling"}},
      {"batch_norm", {"mixes the examples of a batch", "use no norm"}},
  };
  std::vector<std::string> warnings;
  for (const LayerNote& note : layers) {
    const auto found = refused.find(note.kind);
    if (found != refused.end())
      throw RequestError(origin,
                         fmt::format("objective '{}' differentiates the energy twice, and its layer '{}' ({}) {}",
                                     objective, note.layer, note.kind, found->second.problem),
                         found->second.remedy);
    if (note.kind == "elu" && warnings.empty())
      warnings.push_back(
          fmt::format("{}: layer '{}' is an elu, whose second derivative jumps at 0: objective '{}' is biased by it "
                      "(softplus or silu are smooth)",
                      origin, note.layer, objective));
  }
  return warnings;
}

std::vector<std::string> guard_score_layers(const std::vector<LayerNote>& layers, const std::string& objective,
                                            const std::string& origin) {
  for (const LayerNote& note : layers) {
    if (note.kind == "batch_norm")
      throw RequestError(
          origin,
          fmt::format("layer '{}' (batch_norm) mixes the examples of a batch under '{}'", note.layer, objective),
          "use no norm");
    if (note.kind == "relu" || note.kind == "leaky_relu" || note.kind == "max_pool")
      return {fmt::format(
          "{}: layer '{}' is a {}, whose derivative jumps: objective '{}' is biased by it (elu, softplus or "
          "silu are smooth enough)",
          origin, note.layer, note.kind, objective)};
  }
  return {};
}

std::vector<std::string> guard(const Parts& parts) {
  std::vector<std::string> warnings;
  double noise = std::numeric_limits<double>::infinity();  // the least that a phase which needs a density sees
  for (const PhaseParts& phase : parts.phases) {
    const Objective& objective = *phase.objective;
    std::vector<std::string> lines;
    if (parts.score && objective.differentiates_score())
      lines = guard_score_layers(parts.score->layers(), phase.objective_name, phase.origin);
    if (parts.energy && objective.needs_second_derivative())
      lines = guard_layers(parts.energy->layers(), phase.objective_name, phase.origin);
    warnings.insert(warnings.end(), lines.begin(), lines.end());
    if (objective.needs_density()) noise = std::min(noise, phase.noise);
  }
  if (parts.energy && !parts.energy->plan_note().empty()) warnings.push_back("model: " + parts.energy->plan_note());
  if (std::isfinite(noise) && parts.data)
    for (std::string& line :
         score_matching_warnings(parts.data->splits.train, std::hypot(parts.data->options.noise, noise)))
      warnings.push_back("data: " + std::move(line));
  return warnings;
}

}  // namespace gibbsite
