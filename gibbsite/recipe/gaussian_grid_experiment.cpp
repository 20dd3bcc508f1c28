#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/metric/log_weights.h>
#include <gibbsite/metric/mode_coverage.h>
#include <gibbsite/metric/quadrature.h>
#include <gibbsite/recipe/gaussian_grid_experiment.h>
#include <gibbsite/recipe/step_cost.h>
#include <gibbsite/recipe/train.h>
#include <gibbsite/recipe/vaebm_models.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace gibbsite {
namespace {

constexpr double kPublishedVae = -2.97, kPublishedVaebm = -1.50;
constexpr std::int64_t kRowsAtOnce = 20000;  // of a network
constexpr std::int64_t kSide = 5;

struct Method {
  const char* slug;
  std::vector<std::string> set;
  std::optional<double> published;
};

const std::vector<Method>& methods() {
  static const std::vector<Method> all = {
      {"vaebm-importance", {"objective={name=\"vaebm\", negatives=\"importance\", draws=512}"}, std::nullopt},
      {"vaebm", {}, kPublishedVaebm},
      {"vaebm-short-langevin",
       {"objective={name=\"vaebm\", steps=10, ramp=0}", "sampler={name=\"langevin\", step_size=0.01}",
        "optimizer.learning_rate=1e-4"},
       kPublishedVaebm},
  };
  return all;
}

struct Settings {
  std::int64_t points = 5000;
  std::int64_t draws = 500;
  std::int64_t cells = 240;
  std::int64_t grid_draws = 200;
  std::int64_t proposals = 500000;
  std::int64_t samples = 26000;
  void declare(OptionVisitor& o) {
    o.option("points", points, "test points", at_least(2));
    o.option("draws", draws, "codes per test point of the auto-encoder's likelihood", at_least(1));
    o.option("cells", cells, "cells per axis of the grid on [-3, 3]² that log Z is had by", at_least(2));
    o.option("grid_draws", grid_draws, "codes per point of that grid", at_least(1));
    o.option("proposals", proposals, "draws of the auto-encoder that log Z is had by and samples are chosen from",
             at_least(100));
    o.option("samples", samples, "samples whose modes are counted", at_least(1));
  }
};

Settings settings_of(const std::string& scale) {
  Settings settings;
  if (scale == "paper") {
    settings.points = 100000;
    settings.draws = 10000;
    settings.grid_draws = 500;
    settings.proposals = 1000000;
  }
  if (scale == "smoke") settings = {200, 10, 20, 10, 2000, 500};
  return settings;
}

/// What is judged: the auto-encoder's law known at the test points, on a grid and by draws.
struct Reference {
  Tensor test, log_test;  // [N, 2], [N] float64
  Tensor grid, log_grid;  // [M, 2], [M] float64
  double cell = 0;        // area
  Tensor draws;           // [S, 2]
};

class GaussianGridExperiment {
 public:
  GaussianGridExperiment(const ExperimentContext& context, const Ports& ports)
      : context_(context), ports_(ports), set_(context.set) {
    std::vector<std::string> slugs = {"vae"};
    for (const Method& method : methods()) slugs.emplace_back(method.slug);
    only_ = take_method(set_, slugs);
    settings_ = take_experiment_options(set_, settings_of(context.scale));
  }

  ExperimentOutcome run() {
    TrainRequest request = this->request("vaebm/25-gaussians-vae", "vae");
    if (context_.scale == "smoke") request.set = {"train.steps=60", "data.test=500"};
    train_or_resume(request, ports_);
    vae_ = request.out;
    const Parts vae = load_run(RunDirectory::open(vae_), {}, true, context_.path, *ports_.logger);
    vae.freeze();
    truth_ = vae.data->density;
    prepare(vae);
    if (wanted("vae") && !context_.measured("vae", kData, "log_likelihood")) judge_vae();
    panels_.push_back(panel("data", truth_->log_density(reference_.grid.to(torch::kDouble)).exp()));
    panels_.push_back(panel("auto-encoder", reference_.log_grid.exp()));
    for (const Method& method : methods())
      if (wanted(method.slug)) one(method);
    DensityPlot plot;
    plot.panels = panels_;
    plot.color_high = panels_[0].values.max().item<double>();
    plot.title = "densities of the data, the auto-encoder and the products";
    add_plot(outcome_, context_, ports_, "densities", plot);
    return std::move(outcome_);
  }

 private:
  static constexpr const char* kData = "25-gaussians";
  const ExperimentContext& context_;
  const Ports& ports_;
  std::vector<std::string> set_;
  std::string only_, vae_;
  Settings settings_;
  Reference reference_;
  std::shared_ptr<const Density> truth_;
  std::vector<DensityPanel> panels_;
  ExperimentOutcome outcome_;

  bool wanted(const std::string& slug) const { return only_.empty() || only_ == slug; }

  TrainRequest request(const std::string& recipe, const std::string& folder) const {
    TrainRequest request;
    request.recipe = recipe;
    request.seed = static_cast<std::int64_t>(context_.seed);
    request.out = fmt::format("{}/{}", context_.directory, folder);
    request.path = context_.path;
    return request;
  }

  void prepare(const Parts& vae) {
    const Rng rng = vae.rng("judge");
    reference_.test = vae.data->prepared(vae.data->splits.test, "test", vae.dtype);
    reference_.test = reference_.test.narrow(0, 0, std::min(settings_.points, reference_.test.size(0)));
    reference_.log_test = importance_bound(vae, reference_.test, settings_.draws, rng.stream("test"), ports_);
    const double step = 6.0 / static_cast<double>(settings_.cells);
    const Tensor axis = (torch::arange(settings_.cells + 1, torch::kDouble) * step - 3).to(vae.dtype);
    const std::vector<Tensor> mesh = torch::meshgrid({axis, axis}, "ij");
    reference_.grid = torch::stack({mesh[1].flatten(), mesh[0].flatten()}, 1);
    reference_.cell = step * step;
    reference_.log_grid = importance_bound(vae, reference_.grid, settings_.grid_draws, rng.stream("grid"), ports_);
    const auto generator = make_decoder_generator(*vae.decoder);
    const NoiseSpace space(*generator, {});
    const torch::NoGradGuard no_graph;
    std::vector<Tensor> draws;
    for (std::int64_t first = 0; first < settings_.proposals; first += kRowsAtOnce) {
      Rng own = rng.stream("draws").at_row(first);
      draws.push_back(
          space.points(own.normal({std::min(kRowsAtOnce, settings_.proposals - first), space.size()}, vae.like())));
    }
    reference_.draws = torch::cat(draws);
  }

  DensityPanel panel(const std::string& title, const Tensor& density) const {
    DensityPanel made;
    made.title = title;
    made.values = density.view({settings_.cells + 1, settings_.cells + 1}).to(torch::kDouble);
    made.x_low = made.y_low = -3;
    made.x_high = made.y_high = 3;
    return made;
  }

  Row row(const std::string& method, const std::string& metric, double value, const std::string& unit) const {
    Row made;
    made.method = method;
    made.dataset = kData;
    made.metric = metric;
    made.value = value;
    made.unit = unit;
    return made;
  }

  // Modes hit, KL of their counts from uniform, and the share of points within four deviations of a centre.
  std::vector<Row> of_samples(const std::string& method, const Tensor& x) const {
    const Tensor cell = x.round().clamp(-2, 2);
    const double sigma = truth_->length_scale();
    const Tensor inside = (x - cell).norm(2, 1).le(4 * sigma);
    const Tensor number = ((cell.select(1, 1) + 2) * kSide + cell.select(1, 0) + 2).to(torch::kLong);
    const Tensor near = number.masked_select(inside);
    const std::int64_t modes = near.numel() > 0 ? mode_coverage(near, kSide * kSide).modes : 0;
    const Estimate divergence = mode_coverage(number, kSide * kSide).divergence;
    const Estimate close = share_estimate(inside.sum().item<std::int64_t>(), x.size(0));
    std::vector<Row> rows = {row(method, "modes", static_cast<double>(modes), "1"),
                             row(method, "kl_uniform", divergence.value, "nats"),
                             row(method, "share_within_4_sigma", close.value, "1")};
    rows[1].standard_error = divergence.standard_error;
    rows[2].standard_error = close.standard_error;
    return rows;
  }

  Row likelihood_row(const std::string& method, const Tensor& terms, double log_z,
                     std::optional<double> published) const {
    const Estimate found = mean_estimate(terms);
    Row made = row(method, "log_likelihood", found.value - log_z, "nats");
    made.standard_error = found.standard_error;
    made.published = published;
    made.settings["truth"] = truth_->log_density(reference_.test.to(torch::kDouble)).mean().item<double>();
    return made;
  }

  void judge_vae() {
    std::vector<Row> rows =
        of_samples("vae", reference_.draws.narrow(0, 0, std::min(settings_.samples, settings_.proposals)));
    rows.insert(rows.begin(), likelihood_row("vae", reference_.log_test, 0, kPublishedVae));
    // How much of the auto-encoder's mass the bound finds on the grid: 0 were it exact.
    rows.push_back(row("vae", "log_z",
                       torch::logsumexp(reference_.log_grid, 0).item<double>() + std::log(reference_.cell), "nats"));
    rows.back().settings["truth"] = 0.0;
    context_.add(rows);
    summarise("vae", rows);
  }

  void summarise(const std::string& method, const std::vector<Row>& rows) {
    std::string line = method + ":";
    for (const Row& one : rows)
      line += fmt::format(" {} {}", one.metric, format_estimate(one.value, one.standard_error));
    outcome_.summary.push_back(line);
  }

  void one(const Method& method) {
    if (context_.measured(method.slug, kData, "log_likelihood")) return;
    TrainRequest request = this->request("vaebm/25-gaussians", method.slug);
    request.set = method.set;
    request.set.push_back(fmt::format("vae.run=\"{}\"", vae_));
    if (context_.scale == "smoke")
      request.set.insert(request.set.end(), {"train.steps=6", "train.batch_size=32", "data.test=500"});
    request.set.insert(request.set.end(), set_.begin(), set_.end());
    ports_.logger->info(method.slug);
    std::vector<Row> rows;
    TrainOutcome outcome;
    try {
      outcome = train_or_resume(request, ports_);
    } catch (const WorkError& error) {
      ports_.logger->warn(fmt::format("{}: {}", method.slug, error.what()));
      context_.add({row(method.slug, "diverged", 1, "1")});
      outcome_.summary.push_back(fmt::format("{}: diverged", method.slug));
      return;
    }
    const Parts parts = load_run(RunDirectory::open(request.out), {}, false, context_.path, *ports_.logger);
    parts.freeze();
    const EnergyFn energy = [&](const Tensor& x) { return parts.energy->energy(x); };
    const Tensor log_weights = -energies(energy, reference_.draws, kRowsAtOnce);
    const LogMean by_draws = log_mean_weight(log_weights);
    const Tensor log_grid = reference_.log_grid - energies(energy, reference_.grid, kRowsAtOnce);
    const double by_grid = torch::logsumexp(log_grid, 0).item<double>() + std::log(reference_.cell);
    rows.push_back(likelihood_row(method.slug, reference_.log_test - energies(energy, reference_.test, kRowsAtOnce),
                                  by_draws.log_mean.value, method.published));
    Row z = row(method.slug, "log_z", by_draws.log_mean.value, "nats");
    z.standard_error = by_draws.log_mean.standard_error;
    z.settings["truth"] = by_grid;
    rows.push_back(z);
    rows.push_back(row(method.slug, "ess", by_draws.effective, "1"));
    // Draws of the auto-encoder chosen by their weights are samples of the product, whatever sampler trained it.
    Rng choose = parts.rng("choose");
    const Tensor sums = torch::softmax(log_weights, 0).cumsum(0);
    const Tensor pick = torch::searchsorted(sums, choose.uniform({settings_.samples}, torch::kDouble))
                            .clamp_max(reference_.draws.size(0) - 1);
    for (const Row& found : of_samples(method.slug, reference_.draws.index_select(0, pick))) rows.push_back(found);
    rows.push_back(row(method.slug, "diverged", 0, "1"));
    rows.push_back(row(method.slug, "rollbacks", static_cast<double>(outcome.result.rollbacks), "1"));
    context_.add(rows);
    summarise(method.slug, rows);
    panels_.push_back(panel(method.slug, (log_grid - by_grid).exp()));
  }
};

}  // namespace

ExperimentOutcome reproduce_gaussian_grid(const ExperimentContext& context, const Ports& ports) {
  return GaussianGridExperiment(context, ports).run();
}

}  // namespace gibbsite
