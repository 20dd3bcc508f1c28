#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/metric/cost.h>
#include <gibbsite/model/noise_levels.h>
#include <gibbsite/recipe/sample.h>
#include <gibbsite/recipe/step_cost.h>
#include <gibbsite/recipe/vaebm_models.h>
#include <gibbsite/recipe/vaebm_speed.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {
namespace {

constexpr std::int64_t kTimed = 50, kLengths = 10, kTrainingSteps = 10, kAdaptation = 60, kLeapfrog = 5;
// Section 5.5, on a Titan RTX.
constexpr double kPublishedVaebm = 8.79, kPublishedNcsn = 107.9;

struct Settings {
  std::int64_t samples = 256;
  std::int64_t chains = 500;
  std::int64_t rounds = 3;
  std::int64_t threads = 1;
  void declare(OptionVisitor& o) {
    o.option("samples", samples, "samples of both models that are judged", at_least(2));
    o.option("chains", chains, "chains whose length is varied", at_least(2));
    o.option("rounds", rounds, "timed rounds", at_least(1));
    o.option("threads", threads, "ratios of single-thread times carry over between machines", at_least(1));
  }
};

Settings settings_of(const std::string& scale) {
  if (scale == "smoke") return {16, 16, 1, 1};
  if (scale == "paper") return {10000, 10000, 5, 1};
  return {};
}

// Progress of timed work without the lines that every run of it would repeat.
class ProgressOnly : public Logger {
 public:
  explicit ProgressOnly(Logger& to) : to_(to) {}
  void progress(const std::string& line, double done) override { to_.progress(line, done); }

 private:
  Logger& to_;
};

class Speed {
 public:
  Speed(VaebmStudy& study, const Settings& settings) : study_(study), settings_(settings) {}

  void measure() {
    const StudyModel &product = study_.model("vaebm"), &network = study_.model("ncsn");
    VaebmStudy::Trained vaebm = study_.chosen(product);
    const VaebmStudy::Trained ncsn = study_.train(network);
    if (!study_.context().measured("ncsn", study_.dataset(), "seconds")) {
      time(vaebm, ncsn);
      judge(product, vaebm);
      judge(network, ncsn);
    }
    CurvePlot plot;
    plot.title = "chains of once to ten times the length of those in training";
    plot.x_label = "transitions";
    plot.y_label = "Fréchet distance";
    const std::string leapfrog = fmt::format("sampler={{name=\"hmc\",step_size=0.1,leapfrog_steps={}}}", kLeapfrog);
    for (const auto& [sampler, set] : std::vector<std::pair<std::string, std::vector<std::string>>>{
             {"langevin", {}}, {"mala", {"sampler={name=\"mala\",step_size=0.02}"}}, {"hmc", {leapfrog}}})
      plot.curves.push_back(lengthen(product, vaebm, sampler, set));
    add_plot(study_.outcome, study_.context(), study_.ports(), "chain-length", plot);
  }

 private:
  VaebmStudy& study_;
  Settings settings_;

  std::int64_t timed() const { return study_.smoke() ? 4 : kTimed; }

  void time(const VaebmStudy::Trained& vaebm, const VaebmStudy::Trained& ncsn) {
    ProgressOnly progress(*study_.ports().logger);
    Ports quiet;
    quiet.logger = &progress;
    quiet.interrupt = study_.ports().interrupt;
    const auto sampling = [&](const VaebmStudy::Trained& trained) {
      return [&] { draw(trained.parts, timed(), trained.parts.rng("timed"), quiet); };
    };
    StepCostSettings settings;
    settings.rounds = settings_.rounds;
    settings.threads = settings_.threads;
    StepCosts costs =
        measure_work({{"vaebm", sampling(vaebm), kPublishedVaebm}, {"ncsn", sampling(ncsn), kPublishedNcsn}},
                     {{"ncsn", "vaebm", kPublishedNcsn / kPublishedVaebm}}, settings, study_.dataset());
    double adds[2] = {0, 0};
    for (Row& row : costs.rows) {
      if (row.metric == "seconds_per_step") row.metric = "seconds";
      row.settings["samples"] = static_cast<double>(timed());
      if (row.metric == "multiply_adds") adds[row.method == "ncsn" ? 1 : 0] = row.value;
    }
    Row ratio = study_.row("ncsn", "multiply_adds_ratio", {adds[1] / adds[0]});
    ratio.settings["against"] = "vaebm";
    costs.rows.push_back(ratio);
    // Both chains start with one evaluation per step, but for the first energy that only some kernels need.
    const auto per_evaluation = [&](const char* slug, double all, double steps) {
      Row row = study_.row(slug, "multiply_adds_per_evaluation", {all / steps / static_cast<double>(timed())});
      row.settings["evaluations"] = steps;
      costs.rows.push_back(row);
    };
    const auto chain = static_cast<double>(vaebm.parts.chain.burn_in + vaebm.parts.chain.steps);
    const auto* levels = dynamic_cast<const ConditionalScore*>(ncsn.parts.score.get());
    if (!levels) throw WorkError("vaebm/sampling-speed", "the score network knows no noise levels");
    const auto annealed =
        static_cast<double>(levels->levels()) * static_cast<double>(ncsn.parts.noise_annealing.steps_per_level);
    per_evaluation("vaebm", adds[0], chain);
    per_evaluation("ncsn", adds[1], annealed);
    study_.context().add(costs.rows);
    for (const std::string& line : costs.summary) study_.say(line);
    study_.say(fmt::format("multiply-adds: {:.3g} and {:.3g}, ratio {:.3g}", adds[0], adds[1], ratio.value));
  }

  void judge(const StudyModel& model, const VaebmStudy::Trained& trained) {
    const Tensor x = study_.samples(trained, settings_.samples);
    const Row judged = study_.judge().distance(trained.parts, model.slug, x);
    Row row = study_.row(model, trained, "frechet_classifier", {judged.value, judged.standard_error});
    row.settings["samples"] = static_cast<double>(x.size(0));
    study_.context().add({row});
    study_.picture(trained.parts, x.narrow(0, 0, std::min<std::int64_t>(64, x.size(0))),
                   fmt::format("{}/{}-samples.png", study_.context().directory, model.slug), model.slug + ": samples");
    study_.say(fmt::format("{}: Fréchet distance {} of {} samples", model.slug,
                           format_estimate(row.value, row.standard_error), x.size(0)));
  }

  // The Fréchet distance along chains of one sampler, every training length.
  Curve lengthen(const StudyModel& model, const VaebmStudy::Trained& trained, const std::string& sampler,
                 const std::vector<std::string>& set) {
    Curve curve;
    curve.label = sampler;
    std::vector<Row> rows;
    for (const Row& row : rows_of_seed(study_.context(), model.slug, "frechet_classifier"))
      if (const auto found = row.settings.find("sampler"); found != row.settings.end() &&
                                                           std::get_if<std::string>(&found->second) &&
                                                           std::get<std::string>(found->second) == sampler)
        rows.push_back(row);
    if (rows.empty()) {
      Parts parts = load_run(RunDirectory::open(trained.run), set, true, study_.context().path, *study_.ports().logger);
      parts.freeze();
      if (!set.empty()) {
        parts.chain = ChainOptions();
        parts.chain.burn_in = study_.smoke() ? 2 : kAdaptation;
        parts.chain.steps = 0;
        parts.chain.adapt = true;
        parts.kernel =
            draw(parts, std::min<std::int64_t>(64, settings_.chains), parts.rng("adapt"), study_.ports()).kernel;
      }
      const std::int64_t length = study_.smoke() ? 2 : kTrainingSteps;
      parts.chain = ChainOptions();
      parts.chain.steps = kLengths * length;
      parts.chain.thin = length;
      KeptStates kept;
      Ports own = study_.ports();
      own.samples = &kept;
      draw(parts, settings_.chains, parts.rng("lengthened"), own);
      for (std::size_t k = 0; k < kept.states.size(); ++k) {
        const Row judged = study_.judge().distance(parts, model.slug, kept.states[k]);
        Row row = study_.row(model, trained, "frechet_classifier", {judged.value, judged.standard_error});
        row.settings["samples"] = static_cast<double>(settings_.chains);
        row.settings["sampler"] = sampler;
        row.settings["steps"] = static_cast<double>((static_cast<std::int64_t>(k) + 1) * length);
        row.settings["step_size"] = parts.kernel->step_size();
        rows.push_back(row);
      }
      study_.context().add(rows);
      study_.say(fmt::format("{}: {} after {} transitions, {} after {}", sampler,
                             format_estimate(rows.front().value, rows.front().standard_error), length,
                             format_estimate(rows.back().value, rows.back().standard_error), kLengths * length));
    }
    for (const Row& row : rows) {
      curve.x.push_back(number_of(row, "steps"));
      curve.y.push_back(row.value);
      curve.error.push_back(row.standard_error);
    }
    return curve;
  }
};

}  // namespace

ExperimentOutcome reproduce_sampling_speed(const ExperimentContext& context, const Ports& ports) {
  ExperimentContext own = context;
  const Settings settings = take_experiment_options(own.set, settings_of(context.scale));
  VaebmStudy study(own, ports, "mnist", {"vaebm", "ncsn"}, "seconds");
  Speed(study, settings).measure();
  return study.outcome;
}

}  // namespace gibbsite
