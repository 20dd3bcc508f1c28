#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/text.h>
#include <gibbsite/data/data.h>
#include <gibbsite/data/named_set.h>
#include <gibbsite/manifold/manifold.h>
#include <gibbsite/metric/table.h>
#include <gibbsite/model/decoder.h>
#include <gibbsite/model/energy.h>
#include <gibbsite/model/hierarchical_vae.h>
#include <gibbsite/model/latent_energy.h>
#include <gibbsite/model/score.h>
#include <gibbsite/objective/objective.h>
#include <gibbsite/posterior/posterior.h>
#include <gibbsite/recipe/list.h>
#include <gibbsite/recipe/reproduce.h>
#include <gibbsite/recipe/settings.h>
#include <gibbsite/sampler/kernel.h>
#include <gibbsite/train/trainer.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

namespace gibbsite {
namespace {

template <class Entries>
std::vector<Listed> listed(const Entries& entries) {
  std::vector<Listed> list;
  list.reserve(entries.size());
  for (const auto& entry : entries) list.push_back({entry.name, entry.summary, entry.paper});
  return list;
}

}  // namespace

const std::vector<std::string>& list_families() {
  static const std::vector<std::string> families = {"models",     "scores",     "encoders",   "decoders",
                                                    "generators", "objectives", "samplers",   "manifolds",
                                                    "datasets",   "metrics",    "experiments"};
  return families;
}

std::vector<Listed> list_family(const std::string& family) {
  if (family == "models") {
    std::vector<Listed> models = listed(energy_table());
    for (Listed& latent : listed(latent_model_table()))
      if (std::none_of(models.begin(), models.end(), [&](const Listed& known) { return known.name == latent.name; }))
        models.push_back(std::move(latent));
    return models;
  }
  if (family == "scores") return listed(score_table());
  if (family == "encoders") return listed(posterior_table());
  if (family == "decoders") return listed(decoder_table());
  if (family == "generators") return listed(hierarchical_vae_table());
  if (family == "objectives") return listed(objective_table());
  if (family == "samplers") return listed(kernel_table());
  if (family == "manifolds") return listed(manifold_table());
  if (family == "datasets") return listed(list_data());
  if (family == "metrics") return listed(metric_table());
  if (family == "experiments") return listed(experiment_table());
  throw RequestError("list", fmt::format("unknown family '{}'", family), name_hint(family, list_families()));
}

std::vector<std::string> setting_names() {
  std::set<std::string> names;
  const auto add = [&](const std::string& table, const std::vector<OptionDescription>& options) {
    for (const OptionDescription& option : options)
      names.insert(table.empty() ? option.name : table + "." + option.name);
  };
  const auto add_entries = [&](const std::string& table, const auto& entries) {
    names.insert(table + ".name");
    for (const auto& entry : entries) add(table, entry.options());
  };
  add("", describe_options<GeneralOptions>());
  add("data", describe_options<DataOptions>());
  add("train", describe_options<TrainOptions>());
  add("optimizer", describe_options<OptimizerOptions>());
  add("schedule", describe_options<ScheduleOptions>());
  add("sample", describe_options<SampleOptions>());
  add("sample", describe_options<ChainOptions>());
  add("evaluate", describe_options<EvaluateOptions>());
  names.insert({"evaluate.metrics", "evaluate.out"});
  add_entries("data", density_table());
  add_entries("model", energy_table());
  add_entries("model", latent_model_table());
  add_entries("score", score_table());
  add_entries("encoder", posterior_table());
  add_entries("decoder", decoder_table());
  add_entries("generator", hierarchical_vae_table());
  add_entries("objective", objective_table());
  add_entries("sampler", kernel_table());
  add_entries("manifold", manifold_table());
  return {names.begin(), names.end()};
}

std::string json_text(const std::vector<Listed>& entries) {
  nlohmann::ordered_json array = nlohmann::ordered_json::array();
  for (const Listed& entry : entries)
    array.push_back({{"name", entry.name}, {"summary", entry.summary}, {"paper", entry.paper}});
  return array.dump(2);
}

}  // namespace gibbsite
