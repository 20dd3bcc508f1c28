// What `gibbsite list` shows.
#pragma once

#include <string>
#include <vector>

namespace gibbsite {

struct Listed {
  std::string name, summary, paper;
};

/// "models" (energies, for [model]), "scores" (networks that are a score, for [score]), "encoders", "decoders", "objectives",
/// "samplers", "manifolds", "datasets", "metrics", "experiments".
const std::vector<std::string>& list_families();

/// Throws RequestError with the nearest name for an unknown family.
std::vector<Listed> list_family(const std::string& family);

/// Every key of a recipe that --set may name and that some table declares, dotted, e.g. "sampler.step_size".
std::vector<std::string> setting_names();

/// A JSON array of {name, summary, paper}.
std::string json_text(const std::vector<Listed>& entries);

}  // namespace gibbsite
