#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/model/latent_energy.h>
#include <gibbsite/recipe/step_cost.h>
#include <gibbsite/recipe/vaebm_ablation.h>
#include <gibbsite/recipe/vaebm_models.h>
#include <gibbsite/sampler/chain.h>
#include <gibbsite/sampler/langevin.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <memory>

namespace gibbsite {
namespace {

constexpr const char* kJoint = "vaebm-xz";
constexpr std::int64_t kShown = 64, kChainsAtOnce = 64;

struct Settings {
  std::int64_t samples = 2000;
  std::int64_t joint_samples = 500;
  std::vector<double> step_sizes = {1e-6, 1e-5, 1e-4, 1e-3, 1e-2};
  void declare(OptionVisitor& o) {
    o.option("samples", samples, "samples of a model that are judged", at_least(2));
    o.option("joint_samples", joint_samples, "samples by chains in (x, z), at every step size", at_least(2));
    o.option("step_sizes", step_sizes, "η of those chains", positive());
  }
};

Settings settings_of(const std::string& scale) {
  if (scale == "smoke") return {16, 16, {1e-4}};
  if (scale == "paper") return {50000, 10000, {1e-6, 1e-5, 1e-4, 1e-3, 1e-2}};
  return {};
}

// U(x, z) = E(x) - log p(x | z) - log p(z) on rows [z, x].
class JointSpace {
 public:
  explicit JointSpace(const Parts& parts)
      : parts_(parts),
        vae_(*parts.vae.parts),
        joint_(make_decoder_energy(*vae_.decoder, *vae_.prior)),
        latent_(vae_.decoder->latent_size()),
        event_(vae_.decoder->event()) {}

  Tensor z(const Tensor& state) const { return state.narrow(1, 0, latent_); }
  Tensor x(const Tensor& state) const {
    Shape sizes = event_;
    sizes.insert(sizes.begin(), state.size(0));
    return state.narrow(1, latent_, state.size(1) - latent_).reshape(sizes);
  }
  // Draws of the auto-encoder.
  Tensor start(std::int64_t n, Rng& rng) const {
    const torch::NoGradGuard no_graph;
    const Tensor codes = rng.normal({n, latent_}, parts_.like());
    const ObservationMoments law = *vae_.decoder->moments(codes);
    const Tensor points = law.mean + law.deviation * rng.normal(law.mean.sizes(), law.mean);
    return torch::cat({codes, points.flatten(1)}, 1);
  }
  Target target() const {
    Target target;
    target.energy = [this](const Tensor& state) {
      const Tensor points = x(state);
      const std::vector<double>& clamp = parts_.vae.options.clamp;
      const Tensor seen = clamp.empty() ? points : points.clamp(clamp[0], clamp[1]);
      return parts_.energy->energy(seen) + joint_->joint(points, z(state).unsqueeze(0))[0];
    };
    return target;
  }
  Tensor means(const Tensor& state) const {
    const torch::NoGradGuard no_graph;
    return parts_.transforms.pipeline.inverse(vae_.decoder->mean(z(state))).cpu();
  }

 private:
  const Parts& parts_;
  const Parts& vae_;
  std::unique_ptr<LatentEnergy> joint_;
  std::int64_t latent_;
  Shape event_;
};

class Ablation {
 public:
  Ablation(VaebmStudy& study, const Settings& settings) : study_(study), settings_(settings) {}

  void judge(const StudyModel& model) {
    const VaebmStudy::Trained trained = study_.chosen(model);
    report(study_.row(model, trained, "frechet_classifier", {}), trained.parts,
           study_.samples(trained, settings_.samples), model.slug);
  }

  void judge_joint() {
    const StudyModel& model = study_.model("vaebm");
    const VaebmStudy::Trained trained = study_.chosen(model);
    const Parts& parts = trained.parts;
    if (parts.vae.space->of_means())
      throw RequestError("vae.points", "chains in the space of (x, z) need an energy of x", "points = \"sample\"");
    const JointSpace space(parts);
    for (const double step_size : settings_.step_sizes) {
      const std::vector<Row> known = rows_of_seed(study_.context(), kJoint, "frechet_classifier");
      if (std::any_of(known.begin(), known.end(),
                      [&](const Row& row) { return number_of(row, "step_size") == step_size; }))
        continue;
      LangevinOptions options;
      options.step_size = step_size;
      Row row = study_.row(kJoint, "frechet_classifier", {});
      row.settings["step"] = static_cast<double>(trained.step);
      row.settings["step_size"] = step_size;
      std::vector<Tensor> ends;
      try {
        for (std::int64_t first = 0; first < settings_.joint_samples; first += kChainsAtOnce) {
          const Rng rng = parts.rng("joint").at_row(first);
          Rng own = rng.stream("start");
          const Tensor start = space.start(std::min(kChainsAtOnce, settings_.joint_samples - first), own);
          const ChainResult chain = run_chain(std::make_shared<Langevin>(options), space.target(), start,
                                              rng.stream("chain"), parts.chain, study_.ports());
          if (chain.interrupted) throw Interrupted("reproduce", "stopped at chains in (x, z)");
          ends.push_back(space.means(chain.last.x));
        }
      } catch (const WorkError&) {
        row.metric = "diverged";
        row.value = 1;
        row.unit = "1";
        study_.context().add({row});
        study_.say(fmt::format("{} at {}: diverged", kJoint, step_size));
        continue;
      }
      report(row, parts, torch::cat(ends), fmt::format("{}-{:g}", kJoint, step_size));
    }
  }

 private:
  VaebmStudy& study_;
  Settings settings_;

  void report(Row row, const Parts& parts, const Tensor& x, const std::string& name) {
    study_.picture(parts, x.narrow(0, 0, std::min(kShown, x.size(0))),
                   fmt::format("{}/{}-samples.png", study_.context().directory, name), name + ": samples");
    const Row judged = study_.judge().distance(parts, row.method, x);
    row.value = judged.value;
    row.standard_error = judged.standard_error;
    row.settings["samples"] = static_cast<double>(x.size(0));
    study_.context().add({row});
    study_.say(fmt::format("{}: Fréchet distance {} of {} samples", name,
                           format_estimate(row.value, row.standard_error), x.size(0)));
  }
};

}  // namespace

ExperimentOutcome reproduce_vaebm_ablation(const ExperimentContext& context, const Ports& ports) {
  ExperimentContext own = context;
  const Settings settings = take_experiment_options(own.set, settings_of(context.scale));
  VaebmStudy study(own, ports, "mnist", {"vae", "ebm", "ebm-from-vae", "wgan", "vaebm", "vaebm-kl", kJoint},
                   "frechet_classifier");
  Ablation ablation(study, settings);
  for (const StudyModel& model : study.missing()) ablation.judge(model);
  if (study.wanted(kJoint)) ablation.judge_joint();
  return study.outcome;
}

}  // namespace gibbsite
