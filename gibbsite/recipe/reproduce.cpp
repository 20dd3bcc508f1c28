#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/core/text.h>
#include <gibbsite/recipe/bias_variance.h>
#include <gibbsite/recipe/cebm_few_label.h>
#include <gibbsite/recipe/cebm_latent.h>
#include <gibbsite/recipe/cebm_ood.h>
#include <gibbsite/recipe/cebm_representation.h>
#include <gibbsite/recipe/cebm_stability.h>
#include <gibbsite/recipe/checkerboard_experiment.h>
#include <gibbsite/recipe/contrastive_step.h>
#include <gibbsite/recipe/deep_eblvm.h>
#include <gibbsite/recipe/deep_ebm.h>
#include <gibbsite/recipe/derivative_cost.h>
#include <gibbsite/recipe/dkef_experiment.h>
#include <gibbsite/recipe/fisher_experiment.h>
#include <gibbsite/recipe/frey_face.h>
#include <gibbsite/recipe/gaussian_grid_experiment.h>
#include <gibbsite/recipe/gradient_error.h>
#include <gibbsite/recipe/implicit_autoencoder.h>
#include <gibbsite/recipe/interpolation.h>
#include <gibbsite/recipe/manifold_density.h>
#include <gibbsite/recipe/mvl_autoencoders.h>
#include <gibbsite/recipe/ncsn_experiment.h>
#include <gibbsite/recipe/nice_experiment.h>
#include <gibbsite/recipe/out_of_distribution.h>
#include <gibbsite/recipe/parse.h>
#include <gibbsite/recipe/report.h>
#include <gibbsite/recipe/reproduce.h>
#include <gibbsite/recipe/score_bias.h>
#include <gibbsite/recipe/side_by_side.h>
#include <gibbsite/recipe/smoke_ssm.h>
#include <gibbsite/recipe/vaebm_ablation.h>
#include <gibbsite/recipe/vaebm_images.h>
#include <gibbsite/recipe/vaebm_ood.h>
#include <gibbsite/recipe/vaebm_speed.h>
#include <gibbsite/recipe/vaebm_stacked_mnist.h>
#include <gibbsite/report/event_file.h>
#include <gibbsite/report/plot_data.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>

namespace gibbsite {

namespace fs = std::filesystem;

const std::vector<Experiment>& experiment_table() {
  static const std::vector<Experiment> table = {
      {"smoke/ssm", "a 2-D energy by sliced score matching with jets, judged by quadrature", "Song et al. 2019",
       reproduce_smoke_ssm},
      {"fd/derivative-cost", "cost and error of directional derivatives of order 1 to 8",
       "finite-difference score matching, Figure 2", reproduce_derivative_cost},
      {"fd/gradient-error", "training gradients by finite differences beside exact ones, over step size and precision",
       "finite-difference score matching, Section 6.1", reproduce_gradient_error},
      {"fd/deep-ebm", "deep energies of MNIST: cost and score-matching loss of every way to take derivatives",
       "finite-difference score matching, Table 2", reproduce_deep_ebm},
      {"fd/dkef", "deep kernel exponential families of UCI data by five forms of score matching",
       "finite-difference score matching, Table 1", reproduce_dkef},
      {"fd/nice", "NICE on the logits of MNIST by eight objectives, and what a step of each costs",
       "finite-difference score matching, Table 3", reproduce_nice},
      {"fd/ood", "typicality of groups of images under a deep energy by denoising score matching",
       "finite-difference score matching, Table 4", reproduce_out_of_distribution},
      {"fd/ncsn", "a noise-conditional score network of MNIST by nested passes, finite differences and jets",
       "finite-difference score matching, Table 5", reproduce_ncsn},
      {"fd/implicit-vae", "variational auto-encoders of MNIST with an implicit encoder, entropies by five scores",
       "finite-difference score matching, Table 6", reproduce_implicit_vae},
      {"fd/implicit-wae", "Wasserstein auto-encoders of MNIST, the entropy of their codes by five scores",
       "finite-difference score matching, Table 6", reproduce_implicit_wae},
      {"vages/frey-face", "restricted Boltzmann machines of the Frey faces by VaGES-DSM and bilevel score matching",
       "VaGES, Figure 3", reproduce_frey_face},
      {"vages/deep-eblvm", "deep latent-variable energies of MNIST by VaGES-MDSM and BiMDSM at equal time",
       "VaGES, Table 1", reproduce_deep_eblvm},
      {"vages/interpolation", "images along a line of latent variables of a deep latent-variable energy",
       "VaGES, Figure 4", reproduce_interpolation},
      {"vages/bias",
       "bias of VaES and VaGES against the distance of the encoder from the posterior, in closed form too",
       "VaGES, Figure 1", reproduce_score_bias},
      {"vages/ksd-checkerboard", "a Gaussian-Bernoulli machine of the checkerboard by kernelised Stein discrepancies",
       "VaGES, Figure 2", reproduce_ksd_checkerboard},
      {"vages/checkerboard", "the same machine by denoising, contrastive and variational objectives",
       "VaGES, appendix G.2.1", reproduce_checkerboard},
      {"vages/fisher",
       "Fisher divergence of Gaussian-Bernoulli machines by critics, the score exact or by draws of an encoder",
       "VaGES, Figure 5", reproduce_fisher},
      {"mvl/bias-variance",
       "bias and variance over the step of minimum velocity learning and denoising, with and without "
       "control variate",
       "minimum velocity learning, Figure 1", reproduce_bias_variance},
      {"mvl/cd1", "one-step contrastive divergence with and without its control variate",
       "minimum velocity learning, section 3.3", reproduce_contrastive_step},
      {"mvl/implicit-vae",
       "variational auto-encoders of MNIST, explicit and implicit, with codes in Euclidean space and on spheres",
       "minimum velocity learning, Table 1", reproduce_mvl_vae},
      {"mvl/wae", "Wasserstein auto-encoders by minimum velocity learning, a critic or mean discrepancy",
       "minimum velocity learning, Table 2", reproduce_mvl_wae},
      {"mvl/circle", "an energy on the circle", "minimum velocity learning, Figure 2", reproduce_circle},
      {"mvl/sphere", "an energy on the sphere", "minimum velocity learning, appendix E", reproduce_sphere},
      {"mvl/torus", "an energy of two angles", "beyond minimum velocity learning", reproduce_torus},
      {"mvl/hyperbolic", "an energy on the hyperbolic plane", "beyond minimum velocity learning", reproduce_hyperbolic},
      {"mvl/rotations", "an energy of rotations", "beyond minimum velocity learning", reproduce_rotations},
      {"vaebm/25-gaussians", "an auto-encoder of 25 Gaussians and energies that correct it in its noise space",
       "VAEBM, Figure 4", reproduce_gaussian_grid},
      {"vaebm/stacked-mnist", "how many of the thousand triples of digits samples cover, and how evenly",
       "VAEBM, Table 5", reproduce_stacked_mnist},
      {"vaebm/images", "images of an auto-encoder before and after an energy corrects them in noise space",
       "VAEBM, section 5.1", reproduce_vaebm_images},
      {"vaebm/ood", "an auto-encoder and its product with an energy as detectors of other images", "VAEBM, Table 6",
       reproduce_vaebm_ood},
      {"vaebm/ablation", "an auto-encoder and an energy without each other, and other ways to join them",
       "VAEBM, Table 4", reproduce_vaebm_ablation},
      {"vaebm/sampling-speed", "short chains in noise space against annealed Langevin dynamics, and longer chains",
       "VAEBM, section 5.5", reproduce_sampling_speed},
      {"cebm/few-label", "representations of conjugate energies and their baselines, judged from few labels",
       "CEBM, Table 2", reproduce_few_label},
      {"cebm/ood", "conjugate energies and their baselines as detectors of other images", "CEBM, Table 1",
       reproduce_cebm_ood},
      {"cebm/latent",
       "what latent variables of conjugate energies say about the data, and an objective that asks for it",
       "CEBM, Table 3", reproduce_cebm_latent},
      {"cebm/representation", "neighbours, maps and samples of conjugate energies and their baselines",
       "CEBM, Figures 2, 3 and 5", reproduce_representation},
      {"cebm/stability", "training conjugate energies by persistent chains: failures, roll-backs, settings", "CEBM",
       reproduce_cebm_stability},
  };
  return table;
}

namespace {

const char* const kSet = "set";

// Settings of the call that change what a row says, by key, of a key the last; which models and data are asked for is in
// rows.
std::vector<std::string> of_rows(const std::vector<std::string>& set) {
  static const std::set<std::string> choices = {"data", "method", "part", "models", "classifier"};
  std::map<std::string, std::string> last;
  for (const std::string& assignment : set) {
    const std::string key = assigned_key(assignment);
    if (choices.count(key.substr(key.rfind('.') + 1)) == 0) last[key] = assignment;
  }
  std::vector<std::string> settings;
  for (const auto& [key, assignment] : last) settings.push_back(assignment);
  return settings;
}

// Whether a run is neither the one without this setting nor that one trained further.
bool changes_training(const std::string& assignment) {
  static const std::set<std::string> others = {"experiment", "evaluation", "evaluate", "cebm", "vaebm", "train.steps"};
  const std::string key = assigned_key(assignment);
  return !covers(settings_of_sampling(), key) && !covers(others, key);
}

std::string folder_of(std::uint64_t seed, const std::vector<std::string>& settings) {
  std::string name = fmt::format("seed-{}", seed);
  for (const std::string& assignment : settings)
    if (changes_training(assignment)) name += ',' + assignment;
  name.erase(std::remove_if(name.begin(), name.end(), [](char c) { return c == '"' || c == ' '; }), name.end());
  std::replace(name.begin(), name.end(), '/', '_');
  // File systems take names of 255 bytes.
  constexpr std::size_t kMost = 200;
  return name.size() <= kMost ? name : fmt::format("{},{:08x}", name.substr(0, kMost), crc32c(name));
}

// A folder that new runs take the place of. It comes back unless `commit` says that there are rows of the new ones.
class Replaced {
 public:
  Replaced(std::string folder, Logger& logger)
      : folder_(std::move(folder)), aside_(folder_ + ",replaced"), logger_(logger) {
    // Of a call that was killed before its first row.
    if (fs::exists(aside_)) restore();
    move(folder_, aside_);
  }
  ~Replaced() {
    try {
      if (committed_ || !fs::exists(aside_)) return;
      restore();
      logger_.warn(fmt::format("{} is as it was: this call ended before its first row", folder_));
    } catch (const std::exception& error) {
      logger_.warn(error.what());
    }
  }
  Replaced(const Replaced&) = delete;
  Replaced& operator=(const Replaced&) = delete;
  void commit() {
    committed_ = true;
    std::error_code error;
    fs::remove_all(aside_, error);
  }

 private:
  std::string folder_, aside_;
  Logger& logger_;
  bool committed_ = false;

  static void move(const std::string& from, const std::string& to) {
    std::error_code error;
    if (!fs::exists(from, error)) return;
    fs::rename(from, to, error);
    if (error) throw WorkError(from, fmt::format("cannot be renamed to '{}': {}", to, error.message()));
  }
  void restore() const {
    std::error_code error;
    fs::remove_all(folder_, error);
    move(aside_, folder_);
  }
};

// The call for one method, of which the models of a seed are left to this process.
std::vector<std::string> arguments_for(const ReproduceRequest& request, const ExperimentContext& context,
                                       const std::string& out, const std::string& method, std::int64_t threads) {
  std::vector<std::string> words = {"reproduce", request.experiment, "--no-report"};
  const std::vector<std::pair<const char*, std::string>> options = {{"--scale", request.scale},
                                                                    {"--seed", fmt::format("{}", context.seed)},
                                                                    {"--out", out},
                                                                    {"--jobs", "1"},
                                                                    {"--threads", fmt::format("{}", threads)}};
  for (const auto& [option, value] : options) words.insert(words.end(), {option, value});
  if (!request.path.folders.empty()) words.insert(words.end(), {"--data-dir", request.path.folders.front()});
  for (const std::string& assignment : request.set) words.insert(words.end(), {"--set", assignment});
  words.insert(words.end(), {"--set", "method=" + method});
  return words;
}

std::vector<Row> rows_with(const Result& result, const std::string& set) {
  std::vector<Row> found;
  for (const Row& row : result.rows) {
    const auto of_row = row.settings.find(kSet);
    if (set.empty() ? of_row == row.settings.end() : of_row != row.settings.end() && of_row->second == Setting(set))
      found.push_back(row);
  }
  return found;
}

}  // namespace

double number_of(const Row& row, const std::string& setting) {
  const auto found = row.settings.find(setting);
  const double* number = found == row.settings.end() ? nullptr : std::get_if<double>(&found->second);
  return number ? *number : std::nan("");
}

std::vector<Row> rows_of_seed(const ExperimentContext& context, const std::string& method, const std::string& metric) {
  std::vector<Row> found;
  for (const Row& row : context.rows())
    if (row.method == method && row.metric == metric && number_of(row, "seed") == static_cast<double>(context.seed))
      found.push_back(row);
  return found;
}

void add_plot(ExperimentOutcome& outcome, const ExperimentContext& context, const Ports& ports, const std::string& name,
              const CurvePlot& plot) {
  const std::string file = context.directory + "/" + name;
  const bool finite = std::any_of(plot.curves.begin(), plot.curves.end(), [](const Curve& curve) {
    return std::any_of(curve.y.begin(), curve.y.end(), [](double y) { return std::isfinite(y); });
  });
  if (finite) Plotter(*ports.logger).curves(file + ".png", plot);
  write_file(file + kPlotFile, json_text(plot));
  outcome.curves.push_back(plot);
}

void add_plot(ExperimentOutcome& outcome, const ExperimentContext& context, const Ports& ports, const std::string& name,
              const DensityPlot& plot) {
  const std::string file = context.directory + "/" + name;
  Plotter(*ports.logger).densities(file + ".png", plot);
  write_file(file + kPlotFile, json_text(plot));
  outcome.densities.push_back(plot);
}

ReproduceOutcome reproduce(const ReproduceRequest& request, const Ports& ports) {
  std::vector<std::string> names;
  for (const Experiment& experiment : experiment_table()) names.push_back(experiment.name);
  const auto& table = experiment_table();
  const auto experiment =
      std::find_if(table.begin(), table.end(), [&](const Experiment& e) { return e.name == request.experiment; });
  if (experiment == table.end())
    throw RequestError("reproduce", fmt::format("unknown experiment '{}'", request.experiment),
                       name_hint(request.experiment, names));
  const std::vector<std::string> scales = {"smoke", "desk", "paper"};
  if (std::find(scales.begin(), scales.end(), request.scale) == scales.end())
    throw RequestError("--scale", fmt::format("unknown scale '{}'", request.scale), name_hint(request.scale, scales));
  if (request.jobs > 1 && request.force)
    throw RequestError("--jobs", "models are trained one after another with --force", "--jobs 1");
  if (request.seeds < 1) throw RequestError("--seeds", fmt::format("is {}, expected >= 1", request.seeds));

  ReproduceOutcome outcome;
  outcome.directory = request.out.empty() ? "results/" + request.experiment : request.out;
  const std::string file = outcome.directory + "/result.json";
  std::error_code error;
  fs::create_directories(outcome.directory, error);
  if (error) throw WorkError(outcome.directory, fmt::format("cannot make the directory: {}", error.message()));
  Result& result = outcome.result;
  // What is there is replaced by the first rows of this call.
  bool replace = request.force;
  const auto refresh = [&] {
    const bool known = !replace && fs::exists(file, error);
    if (known) result = read_result(file);
    return known;
  };
  if (refresh()) {
    if (result.experiment != request.experiment || result.scale != request.scale)
      throw RequestError(outcome.directory, fmt::format("holds {} at scale {}", result.experiment, result.scale),
                         "--out names another directory, --force replaces it");
  } else {
    result.experiment = request.experiment;
    result.scale = request.scale;
    result.seed = request.seed;
    result.environment = environment();
  }

  Report report;
  report.title = request.experiment;
  const std::vector<std::string> settings = of_rows(request.set);
  const std::string set = fmt::format("{}", fmt::join(settings, " "));
  for (std::int64_t k = 0; k < request.seeds; ++k) {
    ExperimentContext context;
    context.scale = request.scale;
    context.seed = request.seed + static_cast<std::uint64_t>(k);
    context.set = request.set;
    context.directory = outcome.directory + "/" + folder_of(context.seed, settings);
    context.path = request.path;
    std::optional<Replaced> before;
    if (request.force) before.emplace(context.directory, *ports.logger);
    fs::create_directories(context.directory, error);
    if (error) throw WorkError(context.directory, fmt::format("cannot make the directory: {}", error.message()));
    bool apart = false;
    if (request.jobs > 1)
      context.apart = [&](const std::vector<std::string>& methods) {
        SideBySide work;
        work.names = methods;
        work.jobs = std::min(request.jobs, static_cast<std::int64_t>(methods.size()));
        work.directory = context.directory;
        const std::int64_t threads = std::max<std::int64_t>(1, at::get_num_threads() / work.jobs);
        work.arguments = [&, threads](const std::string& method) {
          return arguments_for(request, context, outcome.directory, method, threads);
        };
        apart = true;
        std::vector<std::string> said = run_side_by_side(work, ports);
        refresh();
        return said;
      };
    context.add = [&](const std::vector<Row>& rows) {
      const std::shared_ptr<void> alone = lock_folder(outcome.directory, true);
      // Another call may have added rows of its own since.
      refresh();
      replace = false;
      Result more = result;
      more.environment = environment();
      more.rows = rows;
      for (Row& row : more.rows) {
        row.settings["seed"] = static_cast<double>(context.seed);
        if (!set.empty()) row.settings[kSet] = set;
      }
      accumulate(result, more);
      write_result(file, result);
      if (before) before->commit();
    };
    context.rows = [&] { return rows_with(result, set); };
    context.done = [&](const std::string& method, const std::string& dataset) {
      return has_rows(context.rows(), method, dataset, context.seed);
    };
    context.measured = [&](const std::string& method, const std::string& dataset, const std::string& metric) {
      refresh();
      return has_rows(rows_of_seed(context, method, metric), method, dataset, context.seed);
    };
    const ExperimentOutcome made = experiment->run(context, ports);
    if (before) before->commit();
    outcome.summary = made.summary;
    add_training(report, context.directory);
    // Of other processes and earlier calls.
    if (apart || (made.pictures.empty() && made.curves.empty() && made.densities.empty())) {
      add_pictures(report, context.directory);
      continue;
    }
    report.pictures.insert(report.pictures.end(), made.pictures.begin(), made.pictures.end());
    report.curves.insert(report.curves.end(), made.curves.begin(), made.curves.end());
    report.densities.insert(report.densities.end(), made.densities.begin(), made.densities.end());
  }
  {
    const std::shared_ptr<void> alone = lock_folder(outcome.directory, true);
    refresh();
    write_result(file, result);
  }
  if (!request.report) return outcome;
  write_table(outcome.directory + "/table.md", result);
  report.summary = outcome.summary;
  add_result(report, result);
  report.environment = named_strings(result.environment);
  write_html(outcome.directory + "/report.html", report);
  outcome.summary.push_back(fmt::format("report {}/report.html", outcome.directory));
  return outcome;
}

}  // namespace gibbsite
