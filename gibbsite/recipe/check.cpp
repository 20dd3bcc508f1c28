#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/recipe/check.h>
#include <gibbsite/recipe/guards.h>
#include <gibbsite/recipe/write.h>
#include <torch/nn/module.h>
#include <torch/types.h>

namespace gibbsite {

CheckOutcome check_recipe(const TrainRequest& request) {
  const Parts parts = build_parts(requested_recipe(request), request.path);
  CheckOutcome outcome;
  outcome.warnings = guard(parts);
  outcome.resolved = write_toml(parts.resolved);
  outcome.summary.push_back(fmt::format("data {}: {} training, {} validation, {} test points of {}", data_name(parts),
                                        parts.data->splits.train.size(), parts.data->splits.validation.size(),
                                        parts.data->splits.test.size(), format_shape(parts.transforms.event)));
  for (const Part& part : parts.named_parts()) {
    std::int64_t parameters = 0;
    for (const Tensor& parameter : part.module->parameters()) parameters += parameter.numel();
    // The prior has no table of its own.
    const Config* named = parts.resolved.at_table(part.name).find("name");
    outcome.summary.push_back(fmt::format("{} {}: {} parameters on {}", part.name,
                                          named ? named->string() : "of latent", parameters,
                                          format_shape(parts.transforms.model_event)));
  }
  for (const PhaseParts& phase : parts.phases)
    outcome.summary.push_back(
        fmt::format("phase {}: {}, {} steps", phase.name, phase.objective_name, parts.train.steps * phase.steps));
  return outcome;
}

}  // namespace gibbsite
