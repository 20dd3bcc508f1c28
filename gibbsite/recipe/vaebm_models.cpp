#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/metric/frechet.h>
#include <gibbsite/metric/quadrature.h>
#include <gibbsite/model/latent_energy.h>
#include <gibbsite/posterior/importance.h>
#include <gibbsite/recipe/vaebm_models.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <memory>
#include <sstream>

namespace gibbsite {

namespace fs = std::filesystem;

namespace {

constexpr std::int64_t kRounds = 6;        // each twice as long as all before
constexpr std::int64_t kJudged = 1000;     // samples that a round is judged by
constexpr std::int64_t kReference = 9000;  // training images that they are compared with
constexpr std::int64_t kReconstructedAtOnce = 500;
constexpr std::int64_t kDecodedAtOnce = 20000;  // of a decoder

// What a run is loaded from.
void copy_run(const std::string& from, const std::string& to) {
  const std::string made = to + ".making";
  fs::remove_all(made);
  fs::create_directories(made);
  for (const auto& entry : fs::directory_iterator(from)) {
    const std::string name = entry.path().filename().string();
    if (name == "recipe.toml" || name == "transforms.pt" || name == "cpu-seconds" || name.rfind("checkpoint-", 0) == 0)
      fs::copy(entry.path(), fs::path(made) / name);
  }
  fs::remove_all(to);
  fs::rename(made, to);
}

}  // namespace

std::vector<StudyModel> vaebm_models(const std::string& data) {
  const std::string recipe = "vaebm/mnist";
  const bool stacked = data == "stacked-mnist";
  const std::string own = stacked || data == "fashion-mnist" ? "vaebm/" + data : recipe;
  static const std::vector<std::string> small_energy = {"model.stem=4", "model.blocks=[4,8]", "model.halve=[1,2]",
                                                        "model.initial_rows=8"};
  static const std::vector<std::string> small_chains = [] {
    std::vector<std::string> set = small_energy;
    set.emplace_back("objective.steps=2");
    return set;
  }();
  static const std::vector<std::string> small_coder = {"encoder.filters=4", "decoder.filters=4", "latent.size=4"};
  // For detection: nothing has much less energy than the data, and what lies beyond them, seen from the auto-encoder's means,
  // has more again. Nobody wants its samples, so no round is chosen by them.
  static const std::vector<std::string> square = {"model.head=square", "objective.image=mean",
                                                  "objective.magnitude=0.01"};
  if (data == "cifar10") {
    static const std::vector<std::string> hierarchy = {"generator.channels=16", "generator.groups=[4]",
                                                       "train.batch_size=32"},
                                          energy = {"model.stem=16", "model.blocks=[16,16,32,32]", "model.halve=[1,3]"},
                                          small_hierarchy = {"generator.channels=4", "generator.latent_channels=2",
                                                             "generator.groups=[1]", "generator.cells=1",
                                                             "generator.expansion=1"};
    return {{"vae", "vaebm/cifar10-vae", hierarchy, 3000, "", small_hierarchy, ""},
            {"vaebm", "vaebm/cifar10-persistent", energy, 800, "chain", small_chains, "vae"},
            {"vaebm-fresh", "vaebm/cifar10", energy, 800, "chain", small_chains, "vae"},
            {"vaebm-square", "vaebm/cifar10", energy, 120, "chain", small_chains, "vae", square, /*rounds=*/false}};
  }
  // Stacked digits have perceptrons.
  static const std::vector<std::string> small_perceptrons = {"encoder.hidden=[8]", "decoder.hidden=[8]",
                                                             "latent.size=4"},
                                        small_perceptron = {"model.hidden=[8]"};
  const std::vector<std::string>&coder = stacked ? small_perceptrons : small_coder,
        &energy = stacked ? small_perceptron : small_chains;
  const double updates = stacked ? 4000 : 400;
  return {
      {"vae", own + "-vae", {}, stacked ? 16000.0 : 6000.0, "", coder, ""},
      {"vaebm", own, {}, updates, "chain", energy, "vae"},
      {"vaebm-fresh", own, {}, updates, "chain", energy, "vae", {"objective.probability=0"}},
      {"vaebm-square", own, {}, 120, "chain", small_chains, "vae", square, /*rounds=*/false},
      // As many updates as vaebm; without chains four times as many take its time.
      {"ebm", recipe + "-ebm", {}, 400, "pcd", small_chains, ""},
      {"ebm-from-vae", recipe + "-ebm-from-draws", {}, 400, "pcd", small_chains, "vae"},
      {"wgan", recipe + "-wgan", {}, 1600, "critic", small_energy, "vae"},
      {"vaebm-kl", recipe + "-kl", {}, 400, "chain", small_energy, "vae"},
      // Filters for as many multiply-adds per evaluation as those of decoder and energy, forth and back.
      {"ncsn",
       "fd/ncsn",
       {"score.filters=6"},
       2000,
       "",
       {"score.filters=2", "score.levels=2", "sample.annealing.steps_per_level=2"},
       ""},
  };
}

VaebmStudy::VaebmStudy(const ExperimentContext& context, const Ports& ports, const std::string& otherwise_data,
                       std::vector<std::string> slugs, std::string metric)
    : ModelStudy({"vaebm",
                  vaebm_models(asked_data(context.set, otherwise_data)),
                  10,
                  {"train.steps=4", "train.batch_size=8", "train.checkpoint_every=2", "data.train=80", "data.test=64"}},
                 context, ports, otherwise_data, std::move(slugs), std::move(metric)) {}

std::int64_t VaebmStudy::judged() const { return smoke() ? 16 : kJudged; }

const Tensor& VaebmStudy::training_features(const Parts& parts) {
  if (!training_features_.defined())
    training_features_ = judge().features(parts, rows(parts.data->splits.train, kReference).x);
  return training_features_;
}

VaebmStudy::Trained VaebmStudy::chosen(const StudyModel& model) {
  if (model.route.empty() || !model.rounds) return train(model);
  const std::string run = run_of(model), best = run + "-chosen", log = run + "-rounds.txt";
  const std::int64_t rounds = smoke() ? 1 : kRounds;
  std::string text = fs::exists(log) ? read_file(log) : "";
  double least = std::numeric_limits<double>::infinity();
  std::vector<std::int64_t> known;
  std::istringstream lines(text);
  for (double step = 0, distance = 0; lines >> step >> distance;) {
    known.push_back(static_cast<std::int64_t>(step));
    least = std::min(least, distance);
  }
  // A run that was stopped within a round is ahead of those before, but not at a step that would have been judged.
  for (auto round = static_cast<std::int64_t>(known.size()) + 1; round <= rounds; ++round) {
    try {
      const Trained now = train(model, std::exp2(round - rounds));
      if (std::find(known.begin(), known.end(), now.step) != known.end()) continue;
      const Tensor x = judge().samples(now.parts, now.run, now.step, judged());
      const Estimate found = frechet_distance(judge().features(now.parts, x), training_features(now.parts));
      Row made = row(model, now, "frechet_classifier_of_round", found);
      made.settings["samples"] = static_cast<double>(x.size(0));
      context().add({made});
      say(fmt::format("{} at step {}: {} from training images", model.slug, now.step,
                      format_estimate(found.value, found.standard_error)));
      if (found.value < least) {
        least = found.value;
        copy_run(run, best);
      }
      known.push_back(now.step);
      text += fmt::format("{} {}\n", now.step, found.value);
      write_file(log, text);
    } catch (const WorkError& error) {
      if (!fs::exists(best)) throw;
      ports().logger->warn(fmt::format("{}: {}", model.slug, error.what()));
      context().add({row(model.slug, "diverged", {1})});
      break;
    }
  }
  return load(model, best);
}

Tensor VaebmStudy::samples(const Trained& trained, std::int64_t n) {
  const std::int64_t first = trained.parts.energy ? judged() : 0;
  return judge().samples(trained.parts, trained.run, trained.step, first + n).narrow(0, first, n);
}

Tensor VaebmStudy::reconstructions(const Trained& vae, const Tensor& x) const {
  const torch::NoGradGuard no_graph;
  const Parts& parts = vae.parts;
  const Rng rng = parts.rng("reconstruction");
  std::vector<Tensor> all;
  for (std::int64_t first = 0; first < x.size(0); first += kReconstructedAtOnce) {
    const Tensor images = x.narrow(0, first, std::min(kReconstructedAtOnce, x.size(0) - first));
    const Tensor v = parts.transforms.pipeline.forward(images).to(parts.like().options());
    Rng own = rng.at_row(first);
    const Tensor mean = parts.generator ? parts.generator->evidence(v, own).mean
                                        : parts.decoder->mean(parts.encoder->sample(v, 1, own).select(0, 0));
    all.push_back(parts.transforms.pipeline.inverse(mean).cpu());
  }
  return torch::cat(all);
}

Tensor VaebmStudy::log_density(const Trained& trained, const Tensor& x, std::int64_t codes) const {
  const Parts& parts = trained.parts;
  if (parts.vae.space && parts.vae.space->of_means())
    throw RequestError("vae.points", "an energy of means is none of x, whose density log p - E is",
                       "points = \"sample\"");
  const Parts& vae = parts.vae.parts ? *parts.vae.parts : parts;
  const Tensor v = parts.transforms.pipeline.forward(x).to(parts.like().options());
  const Tensor bound = importance_bound(vae, v, codes, vae.rng("bound"), ports());
  if (!parts.vae.space) return bound;
  const EnergyFn energy = [&parts](const Tensor& y) { return parts.energy->energy(y); };
  return bound - energies(energy, v, 500);
}

Tensor importance_bound(const Parts& vae, const Tensor& x, std::int64_t codes, const Rng& rng, const Ports& ports) {
  const torch::NoGradGuard no_graph;
  const std::unique_ptr<LatentEnergy> joint = vae.decoder ? make_decoder_energy(*vae.decoder, *vae.prior) : nullptr;
  const std::int64_t block = std::max<std::int64_t>(1, kDecodedAtOnce / codes);
  std::vector<Tensor> all;
  for (std::int64_t first = 0; first < x.size(0); first += block) {
    if (ports.interrupt->requested()) throw Interrupted("reproduce", "stopped at the auto-encoder's likelihood");
    const Tensor rows = x.narrow(0, first, std::min(block, x.size(0) - first));
    Rng own = rng.at_row(first);
    if (!joint) {
      Tensor sum = torch::zeros({rows.size(0)}, torch::kDouble);
      for (std::int64_t k = 0; k < codes; ++k) {
        const Evidence found = vae.generator->evidence(rows, own);
        sum += found.log_prob.to(torch::kDouble);
        for (const Tensor& divergence : found.divergence) sum -= divergence.to(torch::kDouble);
      }
      all.push_back(sum / static_cast<double>(codes));
      continue;
    }
    const Tensor weights = importance_log_weights(*joint, *vae.encoder, rows, codes, own).to(torch::kDouble);
    all.push_back(torch::logsumexp(weights, 0) - std::log(static_cast<double>(codes)));
    ports.logger->progress("likelihood of the auto-encoder",
                           static_cast<double>(first) / static_cast<double>(x.size(0)));
  }
  return torch::cat(all);
}

}  // namespace gibbsite
