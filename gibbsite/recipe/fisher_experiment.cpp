#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/data/loader.h>
#include <gibbsite/metric/fisher_divergence.h>
#include <gibbsite/model/grbm.h>
#include <gibbsite/model/mlp_score.h>
#include <gibbsite/objective/fisher_critic.h>
#include <gibbsite/objective/posterior_fit.h>
#include <gibbsite/posterior/bernoulli.h>
#include <gibbsite/posterior/variational_score.h>
#include <gibbsite/recipe/fisher_experiment.h>
#include <gibbsite/recipe/step_cost.h>
#include <gibbsite/train/trainer.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <memory>

namespace gibbsite {
namespace {

constexpr const char* kByDraws = "vages-fisher";
constexpr const char* kExact = "exact-fisher";
constexpr const char* kAffine = "affine-fisher";
constexpr const char* kData = "gaussian";

struct Settings {
  std::vector<std::int64_t> dimensions = {200, 500};
  std::vector<double> deltas = {0, 0.2, 0.4, 0.6, 0.8, 1};
  std::int64_t train = 16000;
  std::int64_t validation = 2000;
  std::int64_t test = 2000;
  std::int64_t batch_size = 100;
  std::int64_t steps = 20000;
  std::int64_t inner = 5;
  std::int64_t particles = 1;
  std::int64_t projections = 8;
  double learning_rate = 2e-4;
  double encoder_rate = 2e-4;
  bool scale_rate = false;
  std::string schedule = "constant";
  void declare(OptionVisitor& o) {
    o.option("dimensions", dimensions, "d: visible variables, and as many latent ones", at_least(1));
    o.option("deltas", deltas, "δ: standard deviations of W, b and c", non_negative());
    o.option("train", train, "points that critic and encoder are trained on", at_least(1));
    o.option("validation", validation, "points that the critic's length is chosen on", at_least(2));
    o.option("test", test, "points of the estimate", at_least(2));
    o.option("batch_size", batch_size, "points of an update", at_least(1));
    o.option("steps", steps, "updates of the critic", at_least(1));
    o.option("inner", inner, "K, updates of the encoder before each of the critic, on the same points", at_least(1));
    o.option("particles", particles, "L of VaES", at_least(1));
    o.option("projections", projections, "directions of the estimate per point", at_least(1));
    o.option("learning_rate", learning_rate, "of Adam, for the critic", positive());
    o.option("encoder_rate", encoder_rate, "of Adam, for the encoder", positive());
    o.option("scale_rate", scale_rate, "the encoder's rate is times δ, the size of the weights that it has to learn");
    o.option("schedule", schedule, "of both rates", {"constant", "cosine"});
  }
};

Settings settings_of(const std::string& scale) {
  Settings settings;
  if (scale == "smoke") {
    settings.dimensions = {8};
    settings.deltas = {0, 0.5};
    settings.train = 256;
    settings.validation = settings.test = 128;
    settings.batch_size = 32;
    settings.steps = 60;
    settings.inner = 1;
    settings.projections = 1;
    settings.learning_rate = settings.encoder_rate = 3e-3;
  }
  if (scale == "desk") {
    settings.steps = 4000;
    settings.inner = 2;
    settings.particles = 8;
    settings.learning_rate = 2e-3;
    settings.encoder_rate = 2e-2;
    settings.scale_rate = true;
    settings.schedule = "cosine";
  }
  return settings;
}

// One model and its data.
struct Problem {
  std::int64_t dimension = 0;
  double delta = 0;
  std::unique_ptr<Grbm> machine;
  Tensor train, validation, test;  // [N, d]

  LatentContext context(const Rng& init) const {
    LatentContext made;
    made.event = {dimension};
    made.latent_size = dimension;
    made.init = init;
    return made;
  }
  Tensor score(const Tensor& v) const {
    Rng unused(0, "score");
    return make_energy_score(*machine)->at(v, unused).value;
  }
  // N(0, I) has the score -v.
  ScoreDifference difference(const Tensor& v) const { return {v, score(v) + v}; }
};

class Runner {
 public:
  Runner(const ExperimentContext& context, const Ports& ports) : context_(context), ports_(ports) {
    std::vector<std::string> set = context.set;
    only_ = take_method(set, {kByDraws, kExact});
    settings_ = take_experiment_options(set, settings_of(context.scale));
    if (!set.empty()) throw RequestError("--set", fmt::format("'{}' is no setting of vages/fisher", set.front()));
  }

  ExperimentOutcome run() {
    for (const std::int64_t dimension : settings_.dimensions) {
      for (const double delta : settings_.deltas) measure(dimension, delta);
      draw(dimension);
    }
    if (outcome_.summary.empty()) outcome_.summary.emplace_back("every row was there already");
    return outcome_;
  }

 private:
  const ExperimentContext& context_;
  const Ports& ports_;
  Settings settings_;
  std::string only_;  // the one method asked for; empty: both
  ExperimentOutcome outcome_;

  Rng rng(std::int64_t dimension, const std::string& name) const {
    return Rng(context_.seed, fmt::format("fisher/{}/{}", dimension, name));
  }

  std::optional<Row> found(const char* method, std::int64_t dimension, double delta) const {
    for (const Row& row : rows_of_seed(context_, method, "fisher_divergence"))
      if (number_of(row, "dimension") == static_cast<double>(dimension) && number_of(row, "delta") == delta) return row;
    return std::nullopt;
  }

  Problem make_problem(std::int64_t dimension, double delta) const {
    Problem made;
    made.dimension = dimension;
    made.delta = delta;
    GrbmOptions options;
    options.latent_size = dimension;
    options.learn_deviation = false;
    options.initial = "normal";
    options.initial_deviation = delta;
    made.machine = std::make_unique<Grbm>(options, made.context(rng(dimension, "init/model")));
    for (Tensor& parameter : made.machine->module().parameters()) parameter.requires_grad_(false);
    const auto points = [&](const char* name, std::int64_t count) {
      return rng(dimension, name).normal({count, dimension});
    };
    made.train = points("train", settings_.train);
    made.validation = points("validation", settings_.validation);
    made.test = points("test", settings_.test);
    return made;
  }

  void measure(std::int64_t dimension, double delta) {
    std::vector<const char*> missing;
    for (const char* method : {kExact, kByDraws})
      if ((only_.empty() || only_ == method) && !found(method, dimension, delta)) missing.push_back(method);
    if (missing.empty()) return;
    const Problem problem = make_problem(dimension, delta);
    const double truth = fisher_divergence(-problem.test, problem.score(problem.test)).value;
    if (!found(kAffine, dimension, delta)) {
      const Estimate affine = affine_divergence(problem.difference(problem.train), problem.difference(problem.test));
      add(problem, kAffine, affine, truth, {});
    }
    for (const char* method : missing) {
      if (ports_.interrupt->requested()) throw Interrupted("reproduce", fmt::format("stopped before {}", method));
      const CriticDivergence estimate = by_critic(problem, method == std::string(kByDraws));
      std::map<std::string, Setting> more = {{"scale", estimate.scale}};
      if (method == std::string(kByDraws)) {
        more["particles"] = static_cast<double>(settings_.particles);
        more["inner"] = static_cast<double>(settings_.inner);
      }
      more["steps"] = static_cast<double>(settings_.steps);
      add(problem, method, estimate.value, truth, more);
    }
  }

  void add(const Problem& problem, const char* method, const Estimate& estimate, double truth,
           const std::map<std::string, Setting>& more) {
    Row row;
    row.method = method;
    row.dataset = kData;
    row.metric = "fisher_divergence";
    row.value = estimate.value;
    row.standard_error = estimate.standard_error;
    row.unit = "1";
    row.settings = more;
    row.settings["truth"] = truth;
    row.settings["delta"] = problem.delta;
    row.settings["dimension"] = static_cast<double>(problem.dimension);
    context_.add({row});
    outcome_.summary.push_back(fmt::format("d = {}, delta = {}: {} {}, exact {:.4g}{}", problem.dimension,
                                           problem.delta, method,
                                           format_estimate(estimate.value, estimate.standard_error), truth,
                                           truth > 0 ? fmt::format(", share {:.4f}", estimate.value / truth) : ""));
    ports_.logger->info(outcome_.summary.back());
  }

  // The critic as the only phase, or as the second one after the encoder's.
  CriticDivergence by_critic(const Problem& problem, bool by_draws) const {
    MlpScoreOptions layers;
    layers.hidden = {problem.dimension, problem.dimension};
    layers.activation = "elu";
    const auto critic = make_mlp_score(layers, problem.context(rng(problem.dimension, "init/critic")));
    const auto encoder =
        make_bernoulli_posterior(BernoulliPosteriorOptions(), problem.context(rng(problem.dimension, "init/encoder")));

    ObjectiveParts parts;
    parts.score = critic.get();
    if (by_draws) {
      parts.latent.joint = problem.machine.get();
      parts.latent.encoder = encoder.get();
    } else {
      parts.energy = problem.machine.get();
    }
    FisherCriticOptions draws;
    draws.particles = settings_.particles;
    const auto objective = make_fisher_critic(draws, parts);
    std::unique_ptr<Objective> fit;
    Dataset data;
    data.x = problem.train;
    const auto loader = std::make_shared<const Loader>(data, Pipeline(), rng(problem.dimension, "batches"));
    const BatchSource batches = [loader](std::uint64_t update, std::int64_t batch_size) {
      Batch batch;
      batch.x = loader->batch(static_cast<std::int64_t>(update), batch_size).x;
      batch.global_size = batch.x.size(0);
      return batch;
    };
    const auto phase = [&](const char* name, Objective& of, std::int64_t updates, double rate) {
      TrainPhase made;
      made.name = name;
      made.objective = &of;
      made.trains = {name};
      made.steps = updates;
      made.optimizer.learning_rate = rate;
      made.schedule.name = settings_.schedule;
      made.same_batch = true;
      return made;
    };
    TrainerSetup setup;
    setup.parts = {{"critic", &critic->module()}};
    if (by_draws) {
      fit = make_posterior_kl({}, parts);
      setup.parts.push_back({"encoder", &encoder->module()});
      // At δ = 0 the score does not depend on the encoder.
      const double factor = settings_.scale_rate && problem.delta > 0 ? problem.delta : 1;
      setup.phases.push_back(phase("encoder", *fit, settings_.inner, factor * settings_.encoder_rate));
    }
    setup.phases.push_back(phase("critic", *objective, 1, settings_.learning_rate));
    setup.options.steps = settings_.steps;
    setup.options.batch_size = settings_.batch_size;
    setup.options.log_every = 0;
    setup.options.validate_every = 0;
    setup.seed = context_.seed;
    setup.batches = batches;
    setup.ports = ports_;
    Trainer(std::move(setup)).run();

    const PointScore score = [&](const Tensor& v, Rng& own) {
      if (!by_draws) return problem.score(v);
      const torch::NoGradGuard no_grad;
      return variational_score(*problem.machine, v, encoder->sample(v, settings_.particles, own));
    };
    return critic_divergence(*critic, score, problem.validation, problem.test, settings_.projections,
                             rng(problem.dimension, "estimate"));
  }

  void draw(std::int64_t dimension) {
    CurvePlot value{fmt::format("Fisher divergence of machines from N(0, I), d = {}", dimension),
                    "delta",
                    "divergence",
                    false,
                    false,
                    {{"exact", {}, {}, {}, true, false}}},
        share{fmt::format("Share of the exact divergence, d = {}", dimension),
              "delta",
              "share",
              false,
              false,
              {{"exact", {}, {}, {}, true, false}}};
    for (const char* method : {kByDraws, kExact, kAffine}) {
      Curve values{method, {}, {}, {}, false, true}, shares{method, {}, {}, {}, true, true};
      for (const double delta : settings_.deltas) {
        const std::optional<Row> row = found(method, dimension, delta);
        if (!row) continue;
        const double truth = number_of(*row, "truth");
        if (method == std::string(kAffine)) {
          value.curves[0].x.push_back(delta);
          value.curves[0].y.push_back(truth);
        } else {
          values.x.push_back(delta);
          values.y.push_back(row->value);
          values.error.push_back(row->standard_error);
        }
        if (truth <= 0) continue;
        shares.x.push_back(delta);
        shares.y.push_back(row->value / truth);
        shares.error.push_back(row->standard_error / truth);
      }
      if (!values.x.empty()) value.curves.push_back(values);
      if (!shares.x.empty()) share.curves.push_back(shares);
    }
    for (const double delta : settings_.deltas) {
      if (delta <= 0) continue;
      share.curves[0].x.push_back(delta);
      share.curves[0].y.push_back(1);
    }
    add_plot(outcome_, context_, ports_, fmt::format("divergence-{}", dimension), value);
    add_plot(outcome_, context_, ports_, fmt::format("share-{}", dimension), share);
  }
};

}  // namespace

ExperimentOutcome reproduce_fisher(const ExperimentContext& context, const Ports& ports) {
  return Runner(context, ports).run();
}

}  // namespace gibbsite
