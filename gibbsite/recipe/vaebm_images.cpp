#include <fmt/format.h>
#include <gibbsite/metric/auroc.h>
#include <gibbsite/metric/neighbours.h>
#include <gibbsite/recipe/sample.h>
#include <gibbsite/recipe/step_cost.h>
#include <gibbsite/recipe/vaebm_images.h>
#include <gibbsite/recipe/vaebm_models.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {
namespace {

constexpr std::int64_t kShown = 64, kChains = 8, kStride = 2, kNeighbours = 5;

struct Settings {
  std::int64_t samples = 2000;
  std::int64_t images = 1000;
  std::int64_t codes = 50;
  void declare(OptionVisitor& o) {
    o.option("samples", samples, "samples of a model that are judged", at_least(2));
    o.option("images", images, "training and test images whose densities are compared, and test images with neighbours",
             at_least(2));
    o.option("codes", codes, "codes per image in the bound on the auto-encoder's density", at_least(1));
  }
};

Settings settings_of(const std::string& scale) {
  if (scale == "smoke") return {32, 32, 2};
  if (scale == "paper") return {50000, 10000, 100};
  return {};
}

class Images {
 public:
  Images(VaebmStudy& study, const Settings& settings) : study_(study), settings_(settings) {}

  void judge(const StudyModel& model) {
    VaebmStudy::Trained trained = study_.chosen(model);
    const Parts& parts = trained.parts;
    const Tensor x = study_.samples(trained, settings_.samples);
    std::vector<Row> rows = {like(model, trained, study_.judge().distance(parts, model.slug, x))};
    const std::string folder = study_.context().directory + "/" + model.slug;
    study_.picture(parts, x.narrow(0, 0, std::min(kShown, x.size(0))), folder + "-samples.png",
                   model.slug + ": samples");
    if (parts.vae.space) {
      draw_chains(trained.parts, model.slug, folder);
      densities(model, trained, rows);
      neighbours(model, trained, x, folder, rows);
    }
    if (!study_.context().measured("data", study_.dataset(), "frechet_classifier") && !study_.smoke())
      rows.push_back(study_.judge().floor(parts, settings_.samples));
    study_.context().add(rows);
    study_.say(fmt::format("{} at step {}: Fréchet distance {} of {} samples", model.slug, trained.step,
                           format_estimate(rows[0].value, rows[0].standard_error), x.size(0)));
  }

 private:
  VaebmStudy& study_;
  Settings settings_;

  Row like(const StudyModel& model, const VaebmStudy::Trained& trained, const Row& judged) const {
    Row row = study_.row(model, trained, judged.metric.c_str(), {judged.value, judged.standard_error});
    row.settings.insert(judged.settings.begin(), judged.settings.end());
    return row;
  }

  // The same noise as an image of the auto-encoder and after the chain, and the chain's states on the way.
  void draw_chains(Parts& parts, const std::string& slug, const std::string& folder) {
    const ChainOptions whole = parts.chain;
    const Rng rng = parts.rng("shown");
    const auto run = [&](std::int64_t n, std::int64_t steps, KeptStates* kept) {
      parts.chain.burn_in = 0;
      parts.chain.steps = steps;
      parts.chain.thin = kStride;
      Ports own = study_.ports();
      if (kept) own.samples = kept;
      return parts.transforms.pipeline.inverse(draw(parts, n, rng, own).x).detach().cpu();
    };
    const std::int64_t steps = whole.burn_in + whole.steps;
    const Tensor before = run(kShown / 2, 0, nullptr), after = run(kShown / 2, steps, nullptr);
    study_.picture(parts, torch::stack({before, after}, 1).flatten(0, 1), folder + "-before-after.png",
                   slug + ": an image of the auto-encoder and, right of it, the end of the chain from there", 8);
    KeptStates kept;
    kept.states.push_back(run(kChains, 0, nullptr));
    run(kChains, steps, &kept);
    study_.picture(parts, torch::stack(kept.states, 1).flatten(0, 1), folder + "-chains.png",
                   fmt::format("{}: every second state of {} chains of {} steps", slug, kChains, steps),
                   static_cast<std::int64_t>(kept.states.size()));
    parts.chain = whole;
  }

  void densities(const StudyModel& model, const VaebmStudy::Trained& trained, std::vector<Row>& rows) {
    const Splits& splits = trained.parts.data->splits;
    const Tensor train = study_.log_density(trained, study_.rows(splits.train, settings_.images).x, settings_.codes);
    const Tensor test = study_.log_density(trained, study_.rows(splits.test, settings_.images).x, settings_.codes);
    Row area = study_.row(model, trained, "auroc", auroc(train, test));
    area.settings["out"] = "test";
    area.settings["score"] = "log_density";
    rows.push_back(area);
    const double deviation = std::sqrt((train.var().item<double>() + test.var().item<double>()) / 2);
    const double error = std::sqrt(1.0 / static_cast<double>(train.size(0)) + 1.0 / static_cast<double>(test.size(0)));
    rows.push_back(study_.row(model, trained, "mean_difference",
                              {(train.mean() - test.mean()).item<double>() / deviation, error}, "standard deviations"));
    CurvePlot plot;
    plot.title = model.slug + ": log p - E of training and test images, without its constant";
    plot.x_label = "nats";
    plot.y_label = "share of images";
    plot.points = false;
    const Tensor all = torch::cat({train, test});
    const double low = all.quantile(0.005).item<double>(), high = all.quantile(0.995).item<double>();
    constexpr std::int64_t kBins = 40;
    for (const auto& [label, values] : {std::pair<const char*, Tensor>{"training", train}, {"test", test}}) {
      Curve curve;
      curve.label = label;
      const Tensor counts = torch::histc(values, kBins, low, high) / static_cast<double>(values.size(0));
      for (std::int64_t i = 0; i < kBins; ++i) {
        curve.x.push_back(low + (static_cast<double>(i) + 0.5) * (high - low) / kBins);
        curve.y.push_back(counts[i].item<double>());
      }
      plot.curves.push_back(curve);
    }
    add_plot(study_.outcome, study_.context(), study_.ports(), model.slug + "-histogram", plot);
  }

  void neighbours(const StudyModel& model, const VaebmStudy::Trained& trained, const Tensor& x,
                  const std::string& folder, std::vector<Row>& rows) {
    const Splits& splits = trained.parts.data->splits;
    const Tensor train = splits.train.x.to(torch::kFloat);
    const Tensor test = study_.rows(splits.test, settings_.images).x.to(torch::kFloat);
    const Tensor some = x.narrow(0, 0, std::min(settings_.images, x.size(0))).to(torch::kFloat);
    for (const bool pixels : {true, false}) {
      const char* space = pixels ? "pixels" : "features";
      const auto in_space = [&](const Tensor& images) {
        return (pixels ? images : study_.judge().judge(trained.parts).features(images)).flatten(1);
      };
      const Tensor base = in_space(train);
      const Neighbours of_samples = nearest_neighbours(in_space(some), base, kNeighbours);
      const Estimate sampled = mean_estimate(of_samples.distance.select(1, 0));
      const Estimate real = mean_estimate(nearest_neighbours(in_space(test), base, 1).distance);
      const double ratio = sampled.value / real.value;
      Row row = study_.row(
          model, trained, "distance_ratio",
          {ratio, ratio * std::hypot(sampled.standard_error / sampled.value, real.standard_error / real.value)});
      row.settings["space"] = space;
      rows.push_back(row);
      std::vector<Tensor> images;
      for (std::int64_t i = 0; i < std::min(kChains, some.size(0)); ++i) {
        images.push_back(some.narrow(0, i, 1));
        images.push_back(train.index_select(0, of_samples.index[i]));
      }
      study_.picture(trained.parts, torch::cat(images), fmt::format("{}-neighbours-{}.png", folder, space),
                     fmt::format("{}: samples and the nearest training images by {}", model.slug, space),
                     1 + kNeighbours);
    }
  }
};

}  // namespace

ExperimentOutcome reproduce_vaebm_images(const ExperimentContext& context, const Ports& ports) {
  ExperimentContext own = context;
  const Settings settings = take_experiment_options(own.set, settings_of(context.scale));
  VaebmStudy study(own, ports, "mnist", {"vae", "vaebm", "vaebm-fresh"}, "frechet_classifier");
  Images images(study, settings);
  for (const StudyModel& model : study.missing()) images.judge(model);
  return study.outcome;
}

}  // namespace gibbsite
