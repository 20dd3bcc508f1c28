#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/manifold/geodesic_jet.h>
#include <gibbsite/metric/estimate.h>
#include <gibbsite/objective/denoising.h>
#include <gibbsite/objective/minimum_velocity.h>
#include <gibbsite/recipe/bias_variance.h>
#include <gibbsite/recipe/converted_energy.h>
#include <gibbsite/recipe/train.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>

namespace gibbsite {
namespace {

constexpr std::int64_t kChunk = 50000;
constexpr double kTestEpsilon = 6e-5;  // of the paper's z-tests

struct Scale {
  std::vector<double> epsilons;
  std::int64_t known, trained, precise;  // samples; `precise` at the two steps that the paper speaks of
};

Scale scale_of(const std::string& name) {
  if (name == "smoke") return {{1e-3, 1e-1}, 20000, 20000, 20000};
  const std::vector<double> grid = {1e-6, 3e-6, 1e-5, 3e-5, kTestEpsilon, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1};
  return {grid, 2000000, name == "desk" ? 500000 : 5000000, 5000000};
}

// Mean and variance of independent terms, gathered by chunks.
struct Moments {
  double mean = 0, variance = 0;
  std::int64_t count = 0;
  double error() const { return std::sqrt(variance / static_cast<double>(count)); }
};

// The score of an energy, without graph and without training.
class FixedScore : public Score {
 public:
  explicit FixedScore(EnergyFn energy) { target_.energy = std::move(energy); }
  ScoreEval at(const Tensor& x, Rng& /*rng*/) const override { return {score_of(target_, x), {}}; }

 private:
  Target target_;
};

class BiasVariance {
 public:
  BiasVariance(const ExperimentContext& context, const Ports& ports)
      : context_(context), ports_(ports), scale_(scale_of(context.scale)) {}

  ExperimentOutcome run() {
    const auto banana = find_entry(density_table(), "data set", "banana", "").make(Config::table());
    known(*banana);
    trained(*banana);
    return std::move(outcome_);
  }

 private:
  const ExperimentContext& context_;
  const Ports& ports_;
  Scale scale_;
  ExperimentOutcome outcome_;

  using Terms = std::function<Tensor(const Tensor& x, Rng& rng)>;

  // Fresh samples for every name, so that estimates are independent.
  Moments moments(const std::string& name, const Density& data, std::int64_t n, const Terms& terms) const {
    double sum = 0, squares = 0, shift = 0;
    std::int64_t count = 0;
    const Rng all(context_.seed, name);
    for (std::int64_t step = 0; count < n; ++step) {
      if (ports_.interrupt->requested()) throw Interrupted("reproduce", fmt::format("stopped at {}", name));
      Rng draw = all.at_step(static_cast<std::uint64_t>(step)), noise = draw.stream("noise");
      const Tensor t = terms(data.sample(std::min(kChunk, n - count), draw, torch::kDouble), noise).detach();
      if (step == 0) shift = t.mean().item<double>();
      sum += (t - shift).sum().item<double>();
      squares += (t - shift).square().sum().item<double>();
      count += t.size(0);
    }
    const auto size = static_cast<double>(count);
    return {shift + sum / size, (squares - sum * sum / size) / (size - 1), count};
  }

  static Terms velocity(const ScalarFunction& f, double epsilon, bool control_variate) {
    MinimumVelocityOptions options;
    options.form = "difference";
    options.epsilon = epsilon;
    options.control_variate = control_variate;
    return [=](const Tensor& x, Rng& rng) { return minimum_velocity_terms(options, f, nullptr, x, rng); };
  }
  static Terms limit(const ScalarFunction& f, const char* projection) {
    MinimumVelocityOptions options;
    options.derivative = f.jet ? "jet" : "autograd";
    options.projection = projection;
    return [=](const Tensor& x, Rng& rng) { return minimum_velocity_terms(options, f, nullptr, x, rng); };
  }
  static Terms exact(const ScalarFunction& f) {
    return [=](const Tensor& x, Rng&) { return 2 * riemannian_loss_terms(f, nullptr, x); };
  }
  static Terms denoising(const ScalarFunction& f, double epsilon, bool control_variate) {
    return [=](const Tensor& x, Rng& rng) {
      const FixedScore score(f.value);
      const Tensor noise = rng.normal(x.sizes(), x) * std::sqrt(epsilon);
      Tensor terms = 2 * denoising_terms(score, x, noise, noise / -epsilon, control_variate, rng);
      // Without control variate, less its constant, so that all have one limit.
      if (!control_variate) terms = terms - static_cast<double>(x.size(1)) / epsilon;
      return terms;
    };
  }

  Row row(const std::string& method, const char* metric, double value, double error, double epsilon) const {
    Row made;
    made.method = method;
    made.dataset = "banana";
    made.metric = metric;
    made.value = value;
    made.standard_error = error;
    made.unit = "1";
    made.settings["dtype"] = std::string("float64");
    if (epsilon > 0) made.settings["epsilon"] = epsilon;
    return made;
  }
  void add(const std::string& method, double epsilon, const Moments& m, double truth) {
    Row mean = row(method, "mean", m.mean, m.error(), epsilon);
    if (!std::isnan(truth)) mean.settings["truth"] = truth;
    const double kurtosis_free = m.variance * std::sqrt(2 / static_cast<double>(m.count));
    context_.add({mean, row(method, "variance", m.variance, kurtosis_free, epsilon)});
    outcome_.summary.push_back(fmt::format("{}{}: {:.4f} ± {:.4f}, variance {:.4g}", method,
                                           epsilon > 0 ? fmt::format(" at {:.0e}", epsilon) : "", m.mean, m.error(),
                                           m.variance));
  }

  void known(const Density& banana) {
    ScalarFunction f;
    f.value = [&banana](const Tensor& x) { return -banana.log_density(x); };
    const double truth = -*banana.fisher_information();
    std::map<std::string, Curve> variance;
    const auto one = [&](const std::string& method, double epsilon, const Terms& terms) {
      const Moments m = moments(fmt::format("{}/{}", method, epsilon), banana, scale_.known, terms);
      add(method, epsilon, m, truth);
      Curve& curve = variance[method];
      curve.label = method;
      for (const double x : epsilon > 0 ? std::vector<double>{epsilon} : scale_.epsilons) {
        curve.x.push_back(x);
        curve.y.push_back(m.variance);
      }
    };
    one("exact-sm", 0, exact(f));
    one("jet-limit", 0, limit(f, "rademacher"));
    one("jet-limit-gaussian", 0, limit(f, "gaussian"));
    for (const double epsilon : scale_.epsilons) {
      ports_.logger->info(fmt::format("exact energy, epsilon {:.0e}", epsilon));
      one("mvl", epsilon, velocity(f, epsilon, false));
      one("mvl-cv", epsilon, velocity(f, epsilon, true));
      one("dsm", epsilon, denoising(f, epsilon, false));
      one("dsm-cv", epsilon, denoising(f, epsilon, true));
    }
    draw("variance", "variance of the exact energy's estimates", "variance per sample", variance);
  }

  void trained(const Density& banana) {
    TrainRequest request;
    request.recipe = "mvl/bias-variance";
    if (context_.scale == "smoke") request.set = {"train.steps=20", "train.batch_size=64", "train.validate_every=0"};
    request.set.insert(request.set.end(), context_.set.begin(), context_.set.end());
    request.seed = static_cast<std::int64_t>(context_.seed);
    request.out = context_.directory + "/run";
    request.path = context_.path;
    train_or_resume(request, ports_);
    const Parts parts = load_run(RunDirectory::open(request.out), {}, true, context_.path, *ports_.logger);
    const auto energy = converted_energy(parts, {}, at::kDouble, at::kCPU);
    for (Tensor& parameter : energy->module().parameters()) parameter.requires_grad_(false);
    const ScalarFunction f = scalar_function(*energy);

    // Two unbiased estimates: the cheap one of the paper, and the exact trace.
    const Moments sliced = moments("trained/ssm-vr", banana, scale_.precise, limit(f, "rademacher"));
    add("jet-limit-trained", 0, sliced, std::nan(""));
    const Moments whole = moments("trained/exact-sm", banana, scale_.precise, exact(f));
    add("exact-sm-trained", 0, whole, std::nan(""));
    std::map<std::string, Curve> bias, variance;
    const auto one = [&](const std::string& method, double epsilon, const Terms& terms) {
      const bool precise = epsilon == kTestEpsilon || epsilon == 1e-2;
      const Moments m = moments(fmt::format("trained/{}/{}", method, epsilon), banana,
                                precise ? scale_.precise : scale_.trained, terms);
      add(method, epsilon, m, whole.mean);
      const double apart = m.mean - sliced.mean, floor = m.error() * m.error() + sliced.error() * sliced.error();
      Row squared =
          row(method, "bias_squared", apart * apart, std::sqrt(2 * floor * floor + 4 * apart * apart * floor), epsilon);
      squared.settings["floor"] = floor;
      squared.settings["samples"] = static_cast<double>(m.count);
      std::vector<Row> rows = {squared};
      if (epsilon == kTestEpsilon) {
        const double z = apart / std::sqrt(floor);
        rows.push_back(row(method, "z", z, std::nan(""), epsilon));
        Row p = row(method, "p_value", std::erfc(std::abs(z) / std::sqrt(2.0)), std::nan(""), epsilon);
        p.published = method == "mvl-cv-trained" ? 0.48 : 0.19;
        rows.push_back(p);
        outcome_.summary.push_back(fmt::format("{} at 6e-05: z {:.2f}, p {:.2f}", method, z, p.value));
      }
      context_.add(rows);
      for (auto* list : {&bias, &variance}) {
        (*list)[method].label = method;
        (*list)[method].x.push_back(epsilon);
        (*list)[method].y.push_back(list == &bias ? apart * apart : m.variance);
      }
    };
    for (const double epsilon : scale_.epsilons) {
      ports_.logger->info(fmt::format("trained energy, epsilon {:.0e}", epsilon));
      one("mvl-cv-trained", epsilon, velocity(f, epsilon, true));
      one("dsm-cv-trained", epsilon, denoising(f, epsilon, true));
    }
    cost(parts, {{"jet-limit-trained", sliced.variance},
                 {"mvl-cv-trained", variance["mvl-cv-trained"].y.back()},
                 {"dsm-cv-trained", variance["dsm-cv-trained"].y.back()},
                 {"exact-sm-trained", whole.variance}});
    draw("bias-trained", "squared bias of the trained energy's estimates (an upper bound)", "squared bias", bias);
    draw("variance-trained", "variance of the trained energy's estimates", "variance per sample", variance);
  }

  // Seconds of a loss and its gradient on a training batch, medians of interleaved rounds, and their product with the
  // variance: what an estimate of given precision costs.
  void cost(const Parts& parts, const std::map<std::string, double>& variances) {
    const auto objective = [&](const char* name, const Config& options) {
      ObjectiveParts given;
      given.energy = parts.energy.get();
      return find_entry(objective_table(), "objective", name, "").make(options, given);
    };
    for (Tensor& parameter : parts.energy->module().parameters()) parameter.requires_grad_(true);
    std::map<std::string, std::unique_ptr<Objective>> objectives;
    objectives["jet-limit-trained"] = objective("mvl", Config::table());
    objectives["mvl-cv-trained"] = objective("mvl", Config::table({{"form", Config("difference")}}));
    objectives["dsm-cv-trained"] = objective("dsm", Config::table({{"control_variate", Config(true)}}));
    objectives["exact-sm-trained"] = objective("mvl", Config::table({{"exact", Config(true)}}));
    Batch batch;
    batch.x = parts.data->loader(parts.dtype).batch(0, parts.train.batch_size).x;
    std::map<std::string, std::vector<double>> seconds;
    for (std::uint64_t round = 0; round < 30; ++round)
      for (const auto& [method, loss] : objectives) {
        Rng rng = parts.rng("cost").at_step(round);
        const auto start = std::chrono::steady_clock::now();
        (*loss)(batch, rng).backward.backward();
        seconds[method].push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
      }
    for (auto& [method, times] : seconds) {
      std::sort(times.begin(), times.end());
      const double median = times[times.size() / 2];
      context_.add({row(method, "seconds_per_step", median, std::nan(""), 0),
                    row(method, "variance_seconds", median * variances.at(method), std::nan(""), 0)});
      outcome_.summary.push_back(fmt::format("{}: {:.2f} ms per step, variance × time {:.4g}", method, 1e3 * median,
                                             median * variances.at(method)));
    }
  }

  void draw(const char* file, const char* title, const char* axis, const std::map<std::string, Curve>& curves) {
    CurvePlot plot{title, "epsilon", axis, true, true, {}};
    for (const auto& entry : curves) plot.curves.push_back(entry.second);
    add_plot(outcome_, context_, ports_, file, plot);
  }
};

}  // namespace

ExperimentOutcome reproduce_bias_variance(const ExperimentContext& context, const Ports& ports) {
  return BiasVariance(context, ports).run();
}

}  // namespace gibbsite
