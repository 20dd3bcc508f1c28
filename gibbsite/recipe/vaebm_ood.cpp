#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/metric/auroc.h>
#include <gibbsite/recipe/step_cost.h>
#include <gibbsite/recipe/vaebm_models.h>
#include <gibbsite/recipe/vaebm_ood.h>
#include <torch/types.h>

#include <algorithm>

namespace gibbsite {
namespace {

struct Settings {
  std::int64_t images = 10000;
  std::int64_t codes = 100;
  std::string rows = "first";
  void declare(OptionVisitor& o) {
    o.option("images", images, "images of a set", at_least(2));
    o.option("rows", rows,
             "which of a set's images; last: others than the first, to choose settings by (auroc_of_last)",
             {"first", "last"});
    o.option("codes", codes, "codes per image in the bound on the auto-encoder's density", at_least(1));
  }
};

Settings settings_of(const std::string& scale) {
  if (scale == "smoke") return {64, 2};
  if (scale == "desk") return {2000, 50};
  return {};
}

// Half one image and half another.
Dataset interpolations(const Dataset& images) {
  const std::int64_t half = images.size() / 2;
  Dataset made = images.rows(0, half);
  made.x = (images.x.narrow(0, 0, half).to(torch::kFloat) + images.x.narrow(0, half, half).to(torch::kFloat)) / 2;
  made.label = Tensor();
  return made;
}

}  // namespace

ExperimentOutcome reproduce_vaebm_ood(const ExperimentContext& context, const Ports& ports) {
  ExperimentContext own = context;
  const Settings settings = take_experiment_options(own.set, settings_of(context.scale));
  const bool first = settings.rows == "first";
  const char* metric = first ? "auroc" : "auroc_of_last";
  VaebmStudy study(own, ports, "fashion-mnist", {"vae", "vaebm", "vaebm-square"}, metric);
  for (const StudyModel& model : study.missing()) {
    const VaebmStudy::Trained trained = study.chosen(model);
    const Parts& parts = trained.parts;
    const auto scored = [&](const Dataset& data) {
      const Dataset asked = first ? study.rows(data, settings.images) : study.last_rows(data, settings.images);
      return study.log_density(trained, asked.x, settings.codes);
    };
    const Splits& splits = parts.data->splits;
    const Tensor in = scored(splits.test);
    std::vector<std::string> others =
        parts.transforms.model_event[0] == 1
            ? std::vector<std::string>{"mnist", "fashion-mnist", "notmnist", "omniglot", "interpolations", "constants"}
            : std::vector<std::string>{"svhn", "interpolations", "cifar100", "colour-constants"};
    others.erase(std::remove(others.begin(), others.end(), study.dataset()), others.end());
    others.emplace_back("train");
    std::vector<Row> rows;
    std::string line = fmt::format("{} at step {}:", model.slug, trained.step);
    for (const std::string& name : others) {
      const Dataset out = name == "train" ? splits.train
                          : name == "interpolations"
                              ? interpolations(splits.test)
                              : load_for_evaluation(name, context.path, "vaebm/ood", file_options(parts));
      Row row = study.row(model, trained, metric, auroc(in, scored(out)));
      row.settings["out"] = name;
      row.settings["score"] = "log_density";
      rows.push_back(row);
      line += fmt::format("  {} {}", name, format_estimate(row.value, row.standard_error));
    }
    own.add(rows);
    study.say(line);
  }
  return study.outcome;
}

}  // namespace gibbsite
