#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/metric/classification.h>
#include <gibbsite/metric/linear_probe.h>
#include <gibbsite/recipe/cebm_few_label.h>
#include <gibbsite/recipe/cebm_models.h>
#include <gibbsite/recipe/step_cost.h>
#include <torch/types.h>

#include <map>

namespace gibbsite {
namespace {

const char *const kOnTest = "accuracy", *const kOnValidation = "validation_accuracy";
const char* const kValidationRows = "data.validation=0.16666667";
const std::int64_t kLabels[] = {1, 10, 100}, kShownLabels = 10;
const double kShares[] = {0.1, 0.3, 1};

// Table 2, percent: 1, 10, 100 labels per class, all.
struct Published {
  double accuracy[4];
};
const std::map<std::string, std::map<std::string, Published>>& published() {
  static const std::map<std::string, std::map<std::string, Published>> all = {
      {"mnist",
       {{"vae", {{42, 85, 92, 95}}},
        {"gmm-vae", {{53, 86, 93, 97}}},
        {"bigan", {{33, 67, 85, 91}}},
        {"igebm", {{63, 89, 95, 97}}},
        {"cebm", {{67, 89, 95, 97}}},
        {"cebm-pcd", {{67, 89, 95, 97}}},
        {"gmm-cebm", {{67, 91, 97, 98}}}}},
      {"fashion-mnist",
       {{"vae", {{41, 63, 72, 81}}},
        {"gmm-vae", {{49, 68, 79, 84}}},
        {"bigan", {{46, 65, 75, 81}}},
        {"igebm", {{50, 70, 79, 83}}},
        {"cebm", {{52, 70, 77, 83}}},
        {"cebm-pcd", {{52, 70, 77, 83}}},
        {"gmm-cebm", {{52, 70, 80, 85}}}}},
  };
  return all;
}

struct FewLabelOptions {
  std::string rows = "test";
  void declare(OptionVisitor& o) {
    o.option(
        "rows", rows,
        "rows whose classes are told; validation: a sixth of the training rows (data.validation), which then no model "
        "sees, to choose settings by (validation_accuracy)",
        {"test", "validation"});
  }
};

struct Codes {
  LabelledCodes train, judged;
};

Codes standardised(const Codes& raw) {
  const Tensor mean = raw.train.code.mean(0), deviation = raw.train.code.std(0).clamp_min(1e-9);
  return {{(raw.train.code - mean) / deviation, raw.train.label},
          {(raw.judged.code - mean) / deviation, raw.judged.label}};
}

std::optional<double> published_at(const Row& row, int column) {
  const auto of_data = published().find(row.dataset);
  if (of_data == published().end()) return std::nullopt;
  const auto of_method = of_data->second.find(row.method);
  if (of_method == of_data->second.end()) return std::nullopt;
  return of_method->second.accuracy[column] / 100;
}

// Rows of one representation with the settings of `like`, with all labels too where asked.
void measure(CebmStudy& study, const Row& like, const Codes& raw, bool all, std::vector<Row>& rows) {
  std::string line = like.method;
  for (const bool scaled : {false, true}) {
    const Codes codes = scaled ? standardised(raw) : raw;
    const auto add = [&](const Estimate& found, const Setting& labels, int column) {
      Row row = like;
      row.value = found.value;
      row.standard_error = found.standard_error;
      row.settings["features"] = std::string(scaled ? "standardised" : "raw");
      row.settings["labels"] = labels;
      if (!scaled && row.metric == kOnTest) row.published = published_at(row, column);
      if (!scaled) line += fmt::format("  {}", format_estimate(found.value, found.standard_error));
      rows.push_back(row);
    };
    int column = 0;
    for (const std::int64_t labels : kLabels) {
      // Smoke has few rows of a class.
      if (2 * labels * kImageClasses <= raw.train.label.size(0)) {
        const Estimate found = few_label_accuracy(codes.train, codes.judged, labels);
        add(found, static_cast<double>(labels), column);
      }
      ++column;
    }
    if (!all) continue;
    const LinearProbe probe = fit_linear_probe(codes.train.code, codes.train.label, kImageClasses);
    add(accuracy(probe.scores(codes.judged.code), codes.judged.label), std::string("all"), column);
  }
  study.say(line);
}

// Of every model whose rows are there, whichever call measured them.
CurvePlot accuracy_over_time(const CebmStudy& study, const std::string& metric, const std::string& seconds) {
  CurvePlot plot;
  plot.title = fmt::format("Accuracy with {} labels per class", kShownLabels);
  plot.x_label = "CPU seconds of training";
  plot.y_label = "accuracy";
  plot.log_x = true;
  for (const CebmModel& model : cebm_models()) {
    std::map<double, double> points;
    for (const Row& time : rows_of_seed(study.context(), model.slug, seconds))
      for (const Row& row : rows_of_seed(study.context(), model.slug, metric))
        if (time.dataset == study.dataset() && row.dataset == study.dataset() &&
            number_of(row, "step") == number_of(time, "step") && number_of(row, "labels") == kShownLabels &&
            row.settings.at("features") == Setting(std::string("raw")))
          points[time.value] = row.value;
    Curve curve;
    curve.label = model.slug;
    for (const auto& [x, y] : points) {
      curve.x.push_back(x);
      curve.y.push_back(y);
    }
    if (!points.empty()) plot.curves.push_back(curve);
  }
  return plot;
}

}  // namespace

ExperimentOutcome reproduce_few_label(const ExperimentContext& context, const Ports& ports) {
  ExperimentContext own = context;
  const bool test = take_experiment_options(own.set, FewLabelOptions{}).rows == "test";
  if (!test) own.set.insert(own.set.begin(), kValidationRows);
  const char *metric = test ? kOnTest : kOnValidation, *seconds = test ? "cpu_seconds" : "validation_cpu_seconds";
  std::vector<std::string> slugs;
  for (const CebmModel& model : cebm_models()) slugs.push_back(model.slug);
  CebmStudy study(own, ports, "mnist", slugs, metric);
  require_image_classes(study.data(), context.path);
  for (const CebmModel& model : study.missing()) {
    std::vector<Row> rows;
    for (const double share : kShares) {
      if (share < 1 && context.scale != "desk") continue;
      const CebmStudy::Trained trained = study.train(model, share, test ? "" : "-validation");
      if (share < 1 && trained.further) continue;
      const Splits& splits = trained.parts.data->splits;
      const Dataset &train = splits.train, &judged = test ? splits.test : splits.validation;
      if (judged.size() == 0) throw RequestError("experiment.rows", "there are no validation rows", kValidationRows);
      const Codes codes = {labelled_codes(trained.parts, train, ports), labelled_codes(trained.parts, judged, ports)};
      measure(study, study.row(model, trained, metric, {}), codes, share == 1 && !study.smoke(), rows);
      rows.push_back(study.row(model, trained, seconds, {trained.cpu_seconds}, "s"));
      if (share == 1 && !own.measured("pixels", study.dataset(), metric)) {
        const auto pixels = [](const Dataset& of) {
          return LabelledCodes{of.x.flatten(1).to(torch::kDouble) / 127.5 - 1, of.label};
        };
        measure(study, study.row("pixels", metric, {}), {pixels(train), pixels(judged)}, false, rows);
      }
    }
    study.context().add(rows);
  }
  const CurvePlot plot = accuracy_over_time(study, metric, seconds);
  if (!plot.curves.empty()) add_plot(study.outcome, context, ports, metric, plot);
  return study.outcome;
}

}  // namespace gibbsite
