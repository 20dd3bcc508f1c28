#include <fmt/format.h>
#include <gibbsite/metric/mode_coverage.h>
#include <gibbsite/recipe/step_cost.h>
#include <gibbsite/recipe/vaebm_models.h>
#include <gibbsite/recipe/vaebm_stacked_mnist.h>
#include <torch/types.h>

#include <algorithm>
#include <map>

namespace gibbsite {
namespace {

constexpr std::int64_t kModes = 1000, kDigits = 10, kShown = 64;
constexpr double kConfident = 0.9;

// Table 5.
const std::map<std::string, double>& published_modes() {
  static const std::map<std::string, double> all = {{"vaebm", 1000}};
  return all;
}
const std::map<std::string, double>& published_divergence() {
  static const std::map<std::string, double> all = {{"vaebm", 0.087}};
  return all;
}

struct Settings {
  std::int64_t samples = 26000;
  void declare(OptionVisitor& o) { o.option("samples", samples, "samples whose modes are counted", at_least(2)); }
};

struct Digits {
  Tensor kind;       ///< [N] int64, 100 a + 10 b + c
  Tensor single;     ///< [N C] int64 digits
  Tensor certainty;  ///< [N C] largest class probabilities
};

void publish(Row& row, const std::map<std::string, double>& numbers) {
  const auto found = numbers.find(row.method);
  if (found != numbers.end()) row.published = found->second;
}

class StackedMnist {
 public:
  StackedMnist(VaebmStudy& study, const Settings& settings) : study_(study), settings_(settings) {}

  void judge(const StudyModel& model) {
    const VaebmStudy::Trained trained = study_.chosen(model);
    const Parts& parts = trained.parts;
    if (!study_.context().measured("data", study_.dataset(), "modes")) judge_data(parts);
    if (model.base.empty())
      report(study_.row("reconstruction", "modes", {}), parts,
             study_.reconstructions(trained, study_.rows(parts.data->splits.train, settings_.samples).x));
    const Tensor x = study_.samples(trained, settings_.samples);
    study_.picture(parts, x.narrow(0, 0, std::min(kShown, x.size(0))),
                   fmt::format("{}/{}-samples.png", study_.context().directory, model.slug), model.slug + ": samples");
    report(study_.row(model, trained, "modes", {}), parts, x);
  }

 private:
  VaebmStudy& study_;
  Settings settings_;

  Digits classified(const Parts& parts, const Tensor& x) {
    const Tensor images = x.to(torch::kFloat);
    const auto [certainty, digit] = study_.judge().judge(parts).probabilities(images.flatten(0, 1)).max(1);
    const Tensor of = digit.view({images.size(0), images.size(1)});
    Tensor kind = torch::zeros({images.size(0)}, torch::kLong);
    for (std::int64_t channel = 0; channel < images.size(1); ++channel) kind = kind * kDigits + of.select(1, channel);
    return {kind, digit, certainty};
  }

  void report(const Row& like, const Parts& parts, const Tensor& x) {
    const Digits digits = classified(parts, x);
    const Tensor known = parts.data->splits.train.label;
    const Tensor shares = (torch::bincount(known, {}, kModes).to(torch::kDouble) + 1e-9) / known.numel();
    const ModeCoverage even = mode_coverage(digits.kind, kModes);
    const ModeCoverage alike = mode_coverage(digits.kind, kModes, shares);
    const Estimate sure =
        share_estimate(digits.certainty.gt(kConfident).sum().item<std::int64_t>(), digits.certainty.numel());
    std::vector<Row> rows;
    const auto add = [&](const char* metric, const Estimate& estimate, const char* unit) {
      Row row = like;
      row.metric = metric;
      row.value = estimate.value;
      row.standard_error = estimate.standard_error;
      row.unit = unit;
      row.settings["samples"] = static_cast<double>(x.size(0));
      rows.push_back(row);
    };
    add("modes", {static_cast<double>(even.modes)}, "1");
    publish(rows.back(), published_modes());
    add("kl_uniform", even.divergence, "nats");
    publish(rows.back(), published_divergence());
    add("kl_data", alike.divergence, "nats");
    add("kl_digits", mode_coverage(digits.single, kDigits).divergence, "nats");
    add("confident_share", sure, "1");
    study_.context().add(rows);
    study_.say(fmt::format("{}: {} of {} modes, KL from uniform {} of {} samples", like.method, even.modes, kModes,
                           format_estimate(even.divergence.value, even.divergence.standard_error), x.size(0)));
  }

  void judge_data(const Parts& parts) {
    const Splits& splits = parts.data->splits;
    const Dataset test = study_.rows(splits.test, 10000);
    const Digits seen = classified(parts, test.x);
    std::int64_t right = 0;
    for (std::int64_t place = 1; place < kModes; place *= kDigits)
      right += (seen.kind.floor_divide(place).remainder(kDigits) == test.label.floor_divide(place).remainder(kDigits))
                   .sum()
                   .item<std::int64_t>();
    study_.context().add({study_.row("classifier", "accuracy", share_estimate(right, seen.certainty.numel()))});
    report(study_.row("data", "modes", {}), parts, study_.rows(splits.train, settings_.samples).x);
  }
};

}  // namespace

ExperimentOutcome reproduce_stacked_mnist(const ExperimentContext& context, const Ports& ports) {
  ExperimentContext own = context;
  Settings settings;
  if (context.scale == "smoke") settings.samples = 64;
  settings = take_experiment_options(own.set, settings);
  VaebmStudy study(own, ports, "stacked-mnist", {"vae", "vaebm"}, "modes");
  StackedMnist stacked(study, settings);
  for (const StudyModel& model : study.missing()) stacked.judge(model);
  return study.outcome;
}

}  // namespace gibbsite
