#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/text.h>
#include <gibbsite/metric/latent_ais.h>
#include <gibbsite/objective/entropy.h>
#include <gibbsite/recipe/build.h>
#include <gibbsite/recipe/implicit_autoencoder.h>
#include <gibbsite/recipe/parse.h>
#include <gibbsite/recipe/step_cost.h>
#include <gibbsite/recipe/write.h>
#include <gibbsite/report/image.h>
#include <gibbsite/train/trainer.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <map>
#include <memory>

namespace gibbsite {
namespace {

struct Method {
  const char* slug;
  std::vector<std::string> set;
};

const Method kMethods[] = {
    {"ssm-vr", {"score_objective.derivative=autograd"}},
    {"fd-ssm-vr",
     {"score_objective.derivative=finite_difference", "score_objective.projection=sphere",
      "score_objective.epsilon=0.1"}},
    {"jet-ssm-vr", {"score_objective.derivative=jet"}},
    {"spectral", {"estimator.name=spectral"}},
    {"stein", {"estimator.name=stein"}},
};

// Timed beside them.
const Method kStockMethods[] = {
    {"ssm-vr-stock", {"score_objective.derivative=autograd", "score.operations=stock"}},
    {"fd-ssm-vr-stock",
     {"score_objective.derivative=finite_difference", "score_objective.projection=sphere",
      "score_objective.epsilon=0.1", "score.operations=stock"}},
};

struct Published {
  double nll, seconds;  ///< 0: not comparable
};

// What differs between the two experiments.
struct Family {
  const char* recipe;
  bool aggregate;  // kernels take the codes of a batch as one law
  std::map<std::string, Published> published;
  double ratio;  // published, of the time of ssm-vr and that of fd-ssm-vr
};

const Family& variational() {
  static const Family family = {
      "fd/implicit-vae", false, {{"ssm-vr", {89.58, 5.04e-3}}, {"fd-ssm-vr", {88.96, 3.98e-3}}}, 1.27};
  return family;
}

// The published times were summed over every tenth step and divided by all.
const Family& wasserstein() {
  static const Family family = {"fd/implicit-wae", true, {{"ssm-vr", {90.45, 0}}, {"fd-ssm-vr", {90.66, 0}}}, 1.41};
  return family;
}

struct Evaluation : LatentAisOptions {
  std::int64_t images = 10000;
  void declare(OptionVisitor& o) {
    o.option("images", images, "test images, the first", at_least(2));
    LatentAisOptions::declare(o);
  }
};

struct Scale {
  std::vector<std::string> set;
  std::int64_t particles;  // of kernel estimates per image
  std::int64_t batch, rounds;
  Evaluation evaluation;
};

Scale scale_of(const std::string& name, const Family& family) {
  Scale scale;
  scale.evaluation.rows = family.aggregate ? 128 : 32;
  if (name == "smoke") {
    scale.set = {"train.steps=6",       "train.batch_size=16", "data.train=256",
                 "data.validation=16",  "data.test=16",        "encoder.hidden=[16]",
                 "decoder.hidden=[16]", "score.hidden=[16]",   "train.checkpoint_every=3"};
    scale.particles = 4;
    scale.batch = 16;
    scale.rounds = 1;
    scale.evaluation.images = 8;
    scale.evaluation.chains = 2;
    scale.evaluation.temperatures = 8;
    scale.evaluation.leapfrog_steps = 2;
    return scale;
  }
  scale.particles = 100;
  scale.batch = 128;
  scale.rounds = family.aggregate ? 101 : 25;
  if (name == "desk") {
    scale.set = {family.aggregate ? "train.steps=12000" : "train.steps=6000"};
    scale.particles = 20;
    scale.evaluation.images = 500;
    scale.evaluation.chains = 4;
    // For the same work, more temperatures of shorter transitions leave less of a bias.
    scale.evaluation.temperatures = 1500;
    scale.evaluation.leapfrog_steps = 4;
    scale.evaluation.rows = 500;
  }
  return scale;
}

// The parts of an auto-encoder by the names in a recipe.
struct Autoencoder {
  GeneralOptions general;
  TrainOptions train;
  OptimizerOptions optimizer;
  std::unique_ptr<Posterior> encoder;
  std::unique_ptr<Decoder> decoder;
  std::unique_ptr<LatentPrior> prior;
  std::unique_ptr<LatentScore> score;         // null with an estimator
  std::unique_ptr<ScoreEstimator> estimator;  // null with a network
  std::unique_ptr<Objective> score_objective, objective;
  std::int64_t particles = 1;
  bool aggregate = false;

  Rng rng(std::string_view stream) const { return Rng(static_cast<std::uint64_t>(general.seed), stream); }
  std::vector<Part> parts() const {
    std::vector<Part> all = {{"encoder", &encoder->module()}, {"decoder", &decoder->module()}};
    if (score) all.push_back({"score", &score->module()});
    return all;
  }
};

// An entry of a table by the name in a recipe, and its options; the name counts as read.
template <class Factory>
const Entry<Factory>& named(const Table<Factory>& table, const Config& recipe, const std::string& key) {
  const Config& options = recipe.at_table(key);
  const Config* name = options.find("name");
  if (!name) throw RequestError(recipe.origin(), fmt::format("{}.name is missing", key));
  return find_entry(table, key, name->string(), name->origin());
}

Autoencoder make_autoencoder_parts(const Config& recipe, const Shape& event) {
  Autoencoder made;
  made.general = read_options<GeneralOptions>(recipe, "recipe");
  made.train = read_options<TrainOptions>(recipe.at_table("train"), "train");
  made.optimizer = read_options<OptimizerOptions>(recipe.at_table("optimizer"), "optimizer");
  LatentContext context;
  context.event = event;
  context.dtype = made.general.dtype == "float64" ? at::kDouble : at::kFloat;
  struct Latent {
    std::int64_t size = 32;
    void declare(OptionVisitor& o) { o.option("size", size, "numbers of a code", at_least(1)); }
  };
  context.latent_size = read_options<Latent>(recipe.at_table("latent"), "latent").size;
  const auto with_stream = [&](const char* name) {
    LatentContext own = context;
    own.init = made.rng(fmt::format("init/{}", name));
    return own;
  };
  made.encoder = named(posterior_table(), recipe, "encoder").make(recipe.at_table("encoder"), with_stream("encoder"));
  made.decoder = named(decoder_table(), recipe, "decoder").make(recipe.at_table("decoder"), with_stream("decoder"));
  made.prior = make_normal_prior(context.latent_size);
  ObjectiveParts parts;
  parts.latent = {made.encoder.get(), made.decoder.get(), made.prior.get(), nullptr, nullptr};
  if (recipe.contains("estimator")) {
    made.estimator = named(score_estimator_table(), recipe, "estimator").make(recipe.at_table("estimator"));
    parts.latent.estimator = made.estimator.get();
    for (const char* unused : {"score", "score_objective"}) recipe.at_table(unused).mark_all_read();
  } else {
    made.score = named(latent_score_table(), recipe, "score").make(recipe.at_table("score"), with_stream("score"));
    parts.latent.score = made.score.get();
    made.score_objective =
        named(objective_table(), recipe, "score_objective").make(recipe.at_table("score_objective"), parts);
  }
  const Config& objective = recipe.at_table("objective");
  made.objective = named(objective_table(), recipe, "objective").make(objective, parts);
  if (const Config* particles = objective.find("particles")) made.particles = particles->integer();
  if (const Config* aggregate = objective.find("aggregate")) made.aggregate = aggregate->boolean();
  return made;
}

BatchSource batches_of(const Data& data, at::ScalarType dtype) {
  const auto loader = std::make_shared<const Loader>(data.loader(dtype));
  return [loader](std::uint64_t step, std::int64_t batch_size) {
    Batch batch;
    batch.x = loader->batch(static_cast<std::int64_t>(step), batch_size).x;
    batch.global_size = batch.x.size(0);
    return batch;
  };
}

class Runner {
 public:
  Runner(const Family& family, const ExperimentContext& context, const Ports& ports)
      : family_(family), context_(context), ports_(ports), scale_(scale_of(context.scale, family)) {
    std::vector<std::string> slugs, asked = context.set, set;
    for (const Method& method : kMethods) slugs.emplace_back(method.slug);
    only_ = take_method(asked, slugs);
    Config evaluation = Config::table();
    for (const std::string& assignment : asked) {
      if (assignment.rfind("particles=", 0) == 0)
        scale_.particles = parse_value(assignment.substr(10), "--set particles").integer();
      else if (assignment.rfind("evaluation.", 0) == 0)
        apply_override(evaluation, assignment.substr(11));
      else
        set.push_back(assignment);
    }
    TrainedExperimentOptions timing;
    timing.batch_size = scale_.batch;
    timing.rounds = scale_.rounds;
    timing_ = take_experiment_options(set, timing);
    scale_.evaluation = read_options<Evaluation>(evaluation, "evaluation", scale_.evaluation);
    evaluation.require_all_read("evaluation");
    scale_.set.insert(scale_.set.end(), set.begin(), set.end());
    const Config recipe = recipe_for(kMethods[0]);
    const GeneralOptions general = read_options<GeneralOptions>(recipe, "recipe");
    data_ = make_data(recipe.at_table("data"), Rng(static_cast<std::uint64_t>(general.seed), "data"), context.path);
  }

  ExperimentOutcome run() {
    for (const Method& method : kMethods) {
      if (!timing_.quality() || (!only_.empty() && only_ != method.slug)) continue;
      if (context_.measured(method.slug, data_->options.name, "nll")) continue;
      if (ports_.interrupt->requested()) throw Interrupted("reproduce", fmt::format("stopped before {}", method.slug));
      measure(method);
    }
    if (timing_.cost() && only_.empty() && !context_.measured("ssm-vr", data_->options.name, "seconds_per_step"))
      time_scores();
    if (outcome_.summary.empty()) outcome_.summary.emplace_back("every row was there already");
    return outcome_;
  }

 private:
  const Family& family_;
  const ExperimentContext& context_;
  const Ports& ports_;
  Scale scale_;
  std::string only_;  // the one method asked for; empty: all
  TrainedExperimentOptions timing_;
  std::unique_ptr<Data> data_;
  ExperimentOutcome outcome_;

  Config recipe_for(const Method& method) const {
    std::vector<std::string> set = method.set;
    if (set.front().rfind("estimator.", 0) == 0) {
      set.push_back(fmt::format("objective.aggregate={}", family_.aggregate));
      if (!family_.aggregate) set.push_back(fmt::format("objective.particles={}", scale_.particles));
    }
    set.insert(set.end(), scale_.set.begin(), scale_.set.end());
    set.push_back(fmt::format("seed={}", context_.seed));
    return load_recipe(find_recipe(family_.recipe), set);
  }

  Autoencoder build(const Method& method) const {
    const Config recipe = recipe_for(method);
    recipe.at_table("data").mark_all_read();
    Autoencoder made = make_autoencoder_parts(recipe, data_->model_event());
    recipe.require_all_read();
    return made;
  }

  void train(const Method& method, const Autoencoder& model) const {
    const std::string out = fmt::format("{}/{}", context_.directory, method.slug);
    const bool started = !CheckpointStore(out).empty();
    const RunDirectory run =
        RunDirectory::create(out, recipe_for(method), started ? ExistingRun::kResume : ExistingRun::kReplace);
    TrainerSetup setup;
    setup.parts = model.parts();
    if (model.score_objective) {
      TrainPhase score;
      score.name = "score";
      score.objective = model.score_objective.get();
      score.trains = {"score"};
      score.optimizer = model.optimizer;
      setup.phases.push_back(score);
    }
    TrainPhase coder;
    coder.name = "model";
    coder.objective = model.objective.get();
    coder.trains = {"encoder", "decoder"};
    coder.optimizer = model.optimizer;
    setup.phases.push_back(coder);
    setup.options = model.train;
    setup.seed = static_cast<std::uint64_t>(model.general.seed);
    setup.batches = batches_of(*data_, dtype_of(model));
    setup.directory = out;
    setup.ports = ports_;
    Logger quiet;
    const std::unique_ptr<MetricWriter> metrics =
        run.metric_writer(started ? run.checkpoints().load_newest(quiet).step : -1);
    setup.ports.metrics = metrics.get();
    Trainer trainer(std::move(setup));
    if (started) trainer.resume();
    trainer.run();
    metrics->flush();
  }

  static at::ScalarType dtype_of(const Autoencoder& model) {
    return model.general.dtype == "float64" ? at::kDouble : at::kFloat;
  }

  Row row(const std::string& method, const char* metric, const Estimate& estimate, const char* unit) const {
    Row made;
    made.method = method;
    made.dataset = data_->options.name;
    made.metric = metric;
    made.value = estimate.value;
    made.standard_error = estimate.standard_error;
    made.unit = unit;
    return made;
  }

  // Trains one method, or goes on where an interrupted call stopped, and measures it.
  void measure(const Method& method) {
    const Autoencoder model = build(method);
    ports_.logger->info(fmt::format("{}: training", method.slug));
    train(method, model);
    for (const Part& part : model.parts())
      for (Tensor& parameter : part.module->parameters()) parameter.requires_grad_(false);

    const Evaluation& evaluation = scale_.evaluation;
    const Tensor test = data_->prepared(data_->splits.test, "test", dtype_of(model));
    const Tensor v = test.narrow(0, 0, std::min(evaluation.images, test.size(0)));
    const std::unique_ptr<LatentEnergy> joint = make_decoder_energy(*model.decoder, *model.prior);
    ports_.logger->info(fmt::format("{}: likelihood of {} images", method.slug, v.size(0)));
    const LatentAisResult found =
        latent_annealed_importance(*joint, *model.prior, v, evaluation, model.rng("ais"), ports_);
    const Estimate nll = mean_estimate(-found.log_likelihood);
    std::vector<Row> rows = {row(method.slug, "nll", nll, "nats"),
                             row(method.slug, "ess", mean_estimate(found.effective), "chains")};
    const auto published = family_.published.find(method.slug);
    if (published != family_.published.end()) rows[0].published = published->second.nll;
    for (Row& made : rows) {
      made.settings["images"] = static_cast<double>(v.size(0));
      made.settings["chains"] = static_cast<double>(evaluation.chains);
      made.settings["temperatures"] = static_cast<double>(evaluation.temperatures);
    }
    context_.add(rows);
    outcome_.summary.push_back(fmt::format("{}: NLL {} nats on {} images, acceptance {:.2f}, {:.1f} of {} chains count",
                                           method.slug, format_estimate(nll.value, nll.standard_error), v.size(0),
                                           found.acceptance, rows[1].value, evaluation.chains));
    ports_.logger->info(outcome_.summary.back());
    draw(method, model);
  }

  void draw(const Method& method, const Autoencoder& model) {
    constexpr std::int64_t kSamples = 64;
    const torch::NoGradGuard no_grad;
    Rng rng = model.rng("samples");
    const Tensor h = model.prior->sample(kSamples, torch::empty({0}, dtype_of(model)), rng);
    const std::string file = fmt::format("{}/{}/samples.png", context_.directory, method.slug);
    GridStyle style;
    style.scale = 2;
    write_image_grid(file, model.decoder->mean(h), style);
    outcome_.pictures.push_back(
        read_picture(file, fmt::format("{}: means of v given codes of the prior", method.slug)));
  }

  // The update of the score alone: codes, loss, gradients, optimiser; with kernels codes and estimate.
  Work score_update(const std::shared_ptr<Autoencoder>& model, const Batch& batch) const {
    if (model->estimator) {
      const EntropyScore score = kernel_entropy_score(*model->estimator, model->aggregate);
      return [model, score, &batch] {
        const torch::NoGradGuard no_grad;
        Rng rng(2, "step");
        score(batch.x, model->encoder->sample(batch.x, model->particles, rng), rng);
      };
    }
    NamedTensors named_parameters;
    for (const auto& item : model->score->module().named_parameters())
      named_parameters.emplace_back(item.key(), item.value());
    const std::shared_ptr<Optimizer> optimizer = make_optimizer(model->optimizer, named_parameters);
    return [model, optimizer, &batch] {
      Rng rng(2, "step");
      const Loss loss = (*model->score_objective)(batch, rng);
      const std::vector<Tensor> gradients =
          torch::autograd::grad({loss.backward}, model->score->module().parameters(), {}, {}, false, true);
      optimizer->step(gradients, 0);
    };
  }

  void time_scores() {
    std::vector<TimedWork> timed;
    const Batch batch = batches_of(*data_, at::kFloat)(0, timing_.batch_size);
    const auto add = [&](const Method& method) {
      TimedWork made;
      made.slug = method.slug;
      made.work = score_update(std::make_shared<Autoencoder>(build(method)), batch);
      const auto published = family_.published.find(method.slug);
      if (published != family_.published.end() && published->second.seconds > 0)
        made.published = published->second.seconds;
      timed.push_back(std::move(made));
    };
    for (const Method& method : kMethods) add(method);
    for (const Method& method : kStockMethods) add(method);
    std::vector<TimedRatio> ratios = {{"ssm-vr-stock", "fd-ssm-vr-stock", family_.ratio},
                                      {"ssm-vr", "ssm-vr-stock"},
                                      {"fd-ssm-vr", "ssm-vr-stock"},
                                      {"jet-ssm-vr", "ssm-vr-stock"},
                                      {"spectral", "ssm-vr-stock"},
                                      {"stein", "ssm-vr-stock"},
                                      {"jet-ssm-vr", "fd-ssm-vr"},
                                      {"ssm-vr", "fd-ssm-vr"}};
    const StepCosts costs = measure_work(timed, ratios, timing_, data_->options.name);
    context_.add(costs.rows);
    outcome_.summary.insert(outcome_.summary.end(), costs.summary.begin(), costs.summary.end());
  }
};

}  // namespace

ExperimentOutcome reproduce_implicit_vae(const ExperimentContext& context, const Ports& ports) {
  return Runner(variational(), context, ports).run();
}

ExperimentOutcome reproduce_implicit_wae(const ExperimentContext& context, const Ports& ports) {
  return Runner(wasserstein(), context, ports).run();
}

}  // namespace gibbsite
