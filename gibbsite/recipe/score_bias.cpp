#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/model/gaussian_latent.h>
#include <gibbsite/model/grbm.h>
#include <gibbsite/posterior/bernoulli.h>
#include <gibbsite/posterior/gaussian.h>
#include <gibbsite/posterior/variational_score.h>
#include <gibbsite/recipe/score_bias.h>
#include <gibbsite/recipe/step_cost.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <memory>

namespace gibbsite {
namespace {

struct Settings {
  std::int64_t size = 20;
  std::int64_t vectors = 40;
  std::int64_t groups = 32;
  std::int64_t draws = 128;
  std::int64_t particles = 2;
  double grbm_deviation = 0.2;
  double gaussian_deviation = 0.1;
  std::vector<double> grbm_deltas = {0, 0.1, 0.2, 0.3, 0.4, 0.5};
  std::vector<double> gaussian_deltas = {0, 0.06, 0.12, 0.18, 0.24, 0.3};
  void declare(OptionVisitor& o) {
    o.option("size", size, "visible variables, and as many latent ones", at_least(1));
    o.option("vectors", vectors, "v ~ N(0, I) that the biases are averaged over", at_least(1));
    o.option("groups", groups, "independent means of estimates at every v", at_least(3));
    o.option("draws", draws, "estimates in a group", at_least(1));
    o.option("particles", particles, "L of an estimate", at_least(2));
    o.option("grbm_deviation", grbm_deviation, "standard deviation of W, b and c of the machine", positive());
    o.option("gaussian_deviation", gaussian_deviation, "the same of the Gaussian model", positive());
    o.option("grbm_deltas", grbm_deltas, "δ: logits of q are those of p plus δ N(0, 1)", non_negative());
    o.option("gaussian_deltas", gaussian_deltas, "δ: means of q are those of p plus δ N(0, 1), its deviation 1 ± δ",
             between(0, 0.9));
  }
};

Settings settings_of(const std::string& scale) {
  Settings settings;
  if (scale == "smoke") {
    settings.size = 5;
    settings.vectors = 4;
    settings.groups = 4;
    settings.draws = 64;
    settings.grbm_deltas = {0, 0.25, 0.5};
    settings.gaussian_deltas = {0, 0.15, 0.3};
  }
  if (scale == "paper") {
    settings.vectors = 200;
    settings.draws = 512;
  }
  return settings;
}

// q and p of one v: what biases and divergences depend on.
struct Laws {
  Tensor encoder_bias;                                        // of the affine encoder without weights that is q
  Tensor mean, variance, posterior_mean, posterior_variance;  // [K]
  double divergence = 0;
};

// One of the two models with an encoder that can be set.
class Subject {
 public:
  virtual ~Subject() = default;
  virtual Laws laws(const Tensor& v, const Tensor& direction, double sign, double delta) const = 0;
  const char* slug = "";
  const char* divergence = "";
  const char* title = "";
  std::vector<double> deltas;
  Energy* energy = nullptr;
  LatentModel* model = nullptr;
  std::unique_ptr<Posterior> encoder;

  void set_encoder(const Tensor& bias) const {
    const torch::NoGradGuard no_grad;
    for (Tensor& parameter : encoder->module().parameters())
      parameter.dim() == 1 ? parameter.copy_(bias) : parameter.zero_();
  }
  Tensor weight() const { return model->module().named_parameters()["weight"].detach(); }
};

LatentContext context_of(const Settings& settings, const Rng& init) {
  LatentContext context;
  context.event = {settings.size};
  context.latent_size = settings.size;
  context.init = init;
  context.dtype = at::kDouble;
  return context;
}

class Machine : public Subject {
 public:
  Machine(const Settings& settings, const Rng& init) {
    const LatentContext context = context_of(settings, init);
    GrbmOptions options;
    options.latent_size = settings.size;
    options.initial = "normal";
    options.initial_deviation = settings.grbm_deviation;
    machine_ = std::make_unique<Grbm>(options, context);
    BernoulliPosteriorOptions hard;
    hard.draw = "hard";
    encoder = make_bernoulli_posterior(hard, context);
    slug = "grbm";
    divergence = "kl";
    title = "Gaussian-Bernoulli machine";
    deltas = settings.grbm_deltas;
    energy = machine_.get();
    model = machine_.get();
  }
  Laws laws(const Tensor& v, const Tensor& direction, double, double delta) const override {
    const torch::NoGradGuard no_grad;
    Laws made;
    const Tensor logits = machine_->latent_logits(v.unsqueeze(0))[0];
    made.encoder_bias = logits + delta * direction;
    made.mean = made.encoder_bias.sigmoid();
    made.posterior_mean = logits.sigmoid();
    made.variance = made.mean * (1 - made.mean);
    made.posterior_variance = made.posterior_mean * (1 - made.posterior_mean);
    const Tensor one = made.mean * (made.mean / made.posterior_mean).log();
    const Tensor zero = (1 - made.mean) * ((1 - made.mean) / (1 - made.posterior_mean)).log();
    made.divergence = (one + zero).sum().item<double>();
    return made;
  }

 private:
  std::unique_ptr<Grbm> machine_;
};

class GaussianModel : public Subject {
 public:
  GaussianModel(const Settings& settings, const Rng& init) {
    const LatentContext context = context_of(settings, init);
    GaussianLatentOptions options;
    options.latent_size = settings.size;
    options.initial_deviation = settings.gaussian_deviation;
    gaussian_ = std::make_unique<GaussianLatent>(options, context);
    gaussian_->log_z();  // throws where the joint is no law
    GaussianPosteriorOptions affine;
    affine.hidden = {};
    affine.deviation = "exp";
    encoder = make_gaussian_posterior(affine, context);
    slug = "gaussian-latent";
    divergence = "fisher";
    title = "Gaussian model";
    deltas = settings.gaussian_deltas;
    energy = gaussian_.get();
    model = gaussian_.get();
  }
  Laws laws(const Tensor& v, const Tensor& direction, double sign, double delta) const override {
    const torch::NoGradGuard no_grad;
    Laws made;
    const double deviation = 1 + delta * sign;
    made.posterior_mean = gaussian_->latent_mean(v.unsqueeze(0))[0];
    made.mean = made.posterior_mean + delta * direction;
    made.posterior_variance = torch::ones_like(made.mean);
    made.variance = made.posterior_variance * (deviation * deviation);
    made.encoder_bias = at::cat({made.mean, torch::full_like(made.mean, std::log(deviation))});
    made.divergence = gaussian_->latent_fisher(v.unsqueeze(0), made.mean.unsqueeze(0), deviation).item<double>();
    return made;
  }

 private:
  std::unique_ptr<GaussianLatent> gaussian_;
};

// Squared norms of the biases of VaES and of VaGES, all blocks of θ together (protocol sheet, V1 and V2; σ = 1).
struct SquaredBias {
  double vaes = 0, vages = 0;
};

SquaredBias closed_form(const Tensor& weight, const Tensor& v, const Laws& laws) {
  const Tensor mean = laws.mean - laws.posterior_mean, variance = laws.variance - laws.posterior_variance;
  const Tensor scaled = weight * variance;  // [d, K]
  const double d = static_cast<double>(v.size(0)), norm = scaled.square().sum().item<double>();
  SquaredBias square;
  square.vaes = weight.mv(mean).square().sum().item<double>();
  square.vages = d * mean.square().sum().item<double>() + 2 * v.dot(scaled.mv(mean)).item<double>() +
                 (v.square().sum().item<double>() + 1) * norm;
  return square;
}

// The inner products of the groups' mean biases at one v, [groups, groups] each.
struct Products {
  Tensor vaes, vages;
};

Tensor flat_gradient(const Tensor& scalar, torch::nn::Module& module) {
  const std::vector<Tensor> parameters = module.parameters();
  std::vector<Tensor> rows = torch::autograd::grad({scalar}, parameters, {}, true, false, true);
  for (std::size_t i = 0; i < rows.size(); ++i)
    rows[i] = (rows[i].defined() ? rows[i] : torch::zeros_like(parameters[i])).flatten();
  return at::cat(rows);
}

// The mean score over the rows of x and its gradient, row a that of coordinate a.
struct ScoreMoments {
  Tensor value, gradient;  // [d], [d, parameters]
};

ScoreMoments mean_score(const Score& score, const Tensor& x, torch::nn::Module& module, Rng rng) {
  const ScoreEval eval = score.at(x, rng);
  std::vector<Tensor> rows;
  for (std::int64_t a = 0; a < x.size(1); ++a) {
    Tensor z = torch::zeros_like(x);
    z.select(1, a).fill_(1 / static_cast<double>(x.size(0)));
    rows.push_back(flat_gradient(eval.pullback(z), module));
  }
  return {eval.value.mean(0), at::stack(rows).detach()};
}

Products products(const Subject& subject, const Settings& settings, const Tensor& v, const ScoreMoments& exact,
                  const Score& score, const Rng& rng) {
  const Tensor x = v.expand({settings.draws, v.size(0)});
  std::vector<Tensor> values, gradients;
  for (std::int64_t g = 0; g < settings.groups; ++g) {
    const ScoreMoments mean = mean_score(score, x, subject.model->module(), rng.at_step(static_cast<std::uint64_t>(g)));
    values.push_back(mean.value - exact.value);
    gradients.push_back((mean.gradient - exact.gradient).flatten());
  }
  const Tensor b = at::stack(values), j = at::stack(gradients);
  return {b.matmul(b.t()), j.matmul(j.t())};
}

// From sums of inner products, leaving group `without` out (-1: none): the mean product of different groups.
double squared_norm(const Tensor& sums, std::int64_t without) {
  Tensor kept = sums;
  if (without >= 0) {
    std::vector<std::int64_t> rest;
    for (std::int64_t g = 0; g < sums.size(0); ++g)
      if (g != without) rest.push_back(g);
    const Tensor index = torch::tensor(rest);
    kept = sums.index_select(0, index).index_select(1, index);
  }
  const auto n = static_cast<double>(kept.size(0));
  return (kept.sum() - kept.trace()).item<double>() / (n * (n - 1));
}

double signed_root(double x) { return std::copysign(std::sqrt(std::abs(x)), x); }

struct Fit {
  double slope = 0, r2 = 0;
};

// y = slope · x by least squares; R² against the scatter of y about its mean.
Fit fit_through_origin(const std::vector<double>& x, const std::vector<double>& y) {
  double xy = 0, xx = 0, mean = 0, residual = 0, scatter = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xy += x[i] * y[i];
    xx += x[i] * x[i];
    mean += y[i] / static_cast<double>(x.size());
  }
  const double slope = xy / xx;
  for (std::size_t i = 0; i < x.size(); ++i) {
    residual += (y[i] - slope * x[i]) * (y[i] - slope * x[i]);
    scatter += (y[i] - mean) * (y[i] - mean);
  }
  return {slope, 1 - residual / scatter};
}

// A number of all groups with its jackknife standard error, from values without each group.
Estimate jackknife(double whole, const std::vector<double>& without) {
  double mean = 0, square = 0;
  const auto n = static_cast<double>(without.size());
  for (const double value : without) mean += value / n;
  for (const double value : without) square += (value - mean) * (value - mean);
  return {whole, std::sqrt((n - 1) / n * square), static_cast<std::int64_t>(without.size())};
}

// Everything of one estimator: means over v of the products at every δ.
struct Series {
  const char* slug;
  const char* label;
  std::vector<Tensor> sums;
  std::vector<double> truth;
};

class Runner {
 public:
  Runner(const ExperimentContext& context, const Ports& ports)
      : context_(context), ports_(ports), rng_(context.seed, "bias") {
    std::vector<std::string> set = context.set;
    settings_ = take_experiment_options(set, settings_of(context.scale));
    if (!set.empty()) throw RequestError("--set", fmt::format("'{}' is no setting of vages/bias", set.front()));
    for (const std::vector<double>* deltas : {&settings_.grbm_deltas, &settings_.gaussian_deltas})
      if (deltas->size() < 3) throw RequestError("experiment", "a line through fewer than three δ shows nothing");
  }

  ExperimentOutcome run() {
    const Machine machine(settings_, rng_.stream("init/grbm"));
    const GaussianModel gaussian(settings_, rng_.stream("init/gaussian"));
    for (const Subject* subject : {static_cast<const Subject*>(&machine), static_cast<const Subject*>(&gaussian)})
      if (!context_.measured("vages", subject->slug, "r2")) measure(*subject);
    if (outcome_.summary.empty()) outcome_.summary.emplace_back("every row was there already");
    return outcome_;
  }

 private:
  const ExperimentContext& context_;
  const Ports& ports_;
  Settings settings_;
  Rng rng_;
  ExperimentOutcome outcome_;

  // Means over v of divergences and closed forms at one δ.
  struct Exact {
    double divergence = 0;
    SquaredBias square;
  };
  Exact exact_at(const Subject& subject, const Tensor& vectors, const Tensor& directions, const Tensor& signs,
                 double delta) const {
    Exact mean;
    const Tensor weight = subject.weight();
    const auto n = static_cast<double>(vectors.size(0));
    for (std::int64_t i = 0; i < vectors.size(0); ++i) {
      const Laws laws = subject.laws(vectors[i], directions[i], signs[i].item<double>(), delta);
      const SquaredBias square = closed_form(weight, vectors[i], laws);
      mean.divergence += laws.divergence / n;
      mean.square.vaes += square.vaes / n;
      mean.square.vages += square.vages / n;
    }
    return mean;
  }

  void measure(const Subject& subject) {
    const Shape sizes = {settings_.vectors, settings_.size};
    const Tensor vectors = rng_.stream("v").normal(sizes, at::kDouble);
    const Tensor directions = rng_.stream(subject.slug).stream("direction").normal(sizes, at::kDouble);
    // Half of them wider and half narrower than p.
    const Tensor signs = 1 - 2 * torch::arange(settings_.vectors, torch::dtype(torch::kDouble)).remainder(2);
    VariationalScoreOptions options;
    options.particles = settings_.particles;
    const auto score = make_variational_score(options, *subject.model, *subject.encoder);
    const auto marginal = make_energy_score(*subject.energy);

    Series vaes{"vaes", "VaES", {}, {}}, vages{"vages", "VaGES", {}, {}};
    std::vector<double> roots;  // of divergences
    for (const double delta : subject.deltas) {
      const Exact exact = exact_at(subject, vectors, directions, signs, delta);
      roots.push_back(std::sqrt(exact.divergence));
      vaes.truth.push_back(exact.square.vaes);
      vages.truth.push_back(exact.square.vages);
      for (Series* series : {&vaes, &vages})
        series->sums.push_back(torch::zeros({settings_.groups, settings_.groups}, torch::kDouble));
    }
    for (std::int64_t i = 0; i < settings_.vectors; ++i) {
      const ScoreMoments exact =
          mean_score(*marginal, vectors[i].unsqueeze(0), subject.model->module(), Rng(0, "none"));
      for (std::size_t k = 0; k < subject.deltas.size(); ++k) {
        if (ports_.interrupt->requested()) throw Interrupted("reproduce", fmt::format("stopped at {}", subject.slug));
        const Laws laws = subject.laws(vectors[i], directions[i], signs[i].item<double>(), subject.deltas[k]);
        subject.set_encoder(laws.encoder_bias);
        const Rng own = rng_.stream(fmt::format("{}/{}/{}", subject.slug, i, k));
        const Products found = products(subject, settings_, vectors[i], exact, *score, own);
        vaes.sums[k] += found.vaes / static_cast<double>(settings_.vectors);
        vages.sums[k] += found.vages / static_cast<double>(settings_.vectors);
      }
      const double done = static_cast<double>(i + 1) / static_cast<double>(settings_.vectors);
      ports_.logger->progress(fmt::format("{}: vector {}", subject.slug, i + 1), done);
    }
    std::vector<Row> rows;
    for (const Series* series : {&vaes, &vages}) report(subject, *series, roots, rows);
    context_.add(rows);
    draw(subject, {&vaes, &vages}, roots, vectors, directions, signs);
  }

  Row row(const Subject& subject, const Series& series, const char* metric, const Estimate& estimate) const {
    Row made;
    made.method = series.slug;
    made.dataset = subject.slug;
    made.metric = metric;
    made.value = estimate.value;
    made.standard_error = estimate.standard_error;
    made.unit = "1";
    made.settings["particles"] = static_cast<double>(settings_.particles);
    made.settings["latent_size"] = static_cast<double>(settings_.size);
    return made;
  }

  static std::vector<double> signed_roots(const Series& series, std::int64_t without) {
    std::vector<double> y;
    for (const Tensor& sums : series.sums) y.push_back(signed_root(squared_norm(sums, without)));
    return y;
  }

  // Estimate of f(y) where y are the roots of the squared biases at every δ.
  template <class Function>
  Estimate with_error(const Series& series, const Function& f) const {
    std::vector<double> without;
    for (std::int64_t g = 0; g < settings_.groups; ++g) without.push_back(f(signed_roots(series, g)));
    return jackknife(f(signed_roots(series, -1)), without);
  }

  void report(const Subject& subject, const Series& series, const std::vector<double>& roots, std::vector<Row>& rows) {
    double worst = 0;
    for (std::size_t k = 0; k < roots.size(); ++k) {
      std::vector<double> without;
      for (std::int64_t g = 0; g < settings_.groups; ++g) without.push_back(squared_norm(series.sums[k], g));
      const Estimate square = jackknife(squared_norm(series.sums[k], -1), without);
      Row made = row(subject, series, "bias_squared", square);
      made.settings["truth"] = series.truth[k];
      made.settings["delta"] = subject.deltas[k];
      made.settings["divergence"] = roots[k] * roots[k];
      rows.push_back(made);
      worst = std::max(worst, std::abs(square.value - series.truth[k]) / square.standard_error);
    }
    std::vector<double> exact;
    for (const double square : series.truth) exact.push_back(std::sqrt(square));
    const Fit truth = fit_through_origin(roots, exact);
    const auto r2_of = [&](const std::vector<double>& y) { return fit_through_origin(roots, y).r2; };
    const auto slope_of = [&](const std::vector<double>& y) { return fit_through_origin(roots, y).slope; };
    const Estimate r2 = with_error(series, r2_of), slope = with_error(series, slope_of);
    for (const auto& [metric, estimate] : {std::pair("r2", r2), std::pair("slope", slope)}) {
      rows.push_back(row(subject, series, metric, estimate));
      rows.back().settings["against"] = std::string(subject.divergence);
    }
    outcome_.summary.push_back(fmt::format(
        "{}, {}: |bias| = {} √{}, R² {} (closed forms: {:.4g}, {:.5f}); largest |z| of the {} points {:.1f}",
        subject.title, series.label, format_estimate(slope.value, slope.standard_error),
        subject.divergence == std::string("kl") ? "KL" : "Fisher", format_estimate(r2.value, r2.standard_error),
        truth.slope, truth.r2, roots.size(), worst));
    ports_.logger->info(outcome_.summary.back());
  }

  void draw(const Subject& subject, const std::vector<const Series*>& all, const std::vector<double>& roots,
            const Tensor& vectors, const Tensor& directions, const Tensor& signs) {
    CurvePlot plot;
    plot.title = fmt::format("{}: norm of the bias", subject.title);
    plot.x_label =
        subject.divergence == std::string("kl") ? "root of KL(q, p)" : "root of the Fisher divergence of q, p";
    plot.y_label = "root of the mean squared bias";
    std::vector<Curve> points, lines;
    for (const Series* series : all) {
      Curve points_of{fmt::format("{}, draws", series->label), roots, signed_roots(*series, -1), {}, false, true};
      for (std::size_t k = 0; k < roots.size(); ++k) {
        const auto at = [&](const std::vector<double>& y) { return y[k]; };
        points_of.error.push_back(with_error(*series, at).standard_error);
      }
      points.push_back(points_of);
      lines.push_back({fmt::format("{}, exact", series->label), {}, {}, {}, true, false});
    }
    constexpr std::int64_t kSteps = 20;
    for (std::int64_t i = 0; i <= kSteps; ++i) {
      const double delta = subject.deltas.back() * static_cast<double>(i) / static_cast<double>(kSteps);
      const Exact exact = exact_at(subject, vectors, directions, signs, delta);
      for (Curve& line : lines) line.x.push_back(std::sqrt(exact.divergence));
      lines[0].y.push_back(std::sqrt(exact.square.vaes));
      lines[1].y.push_back(std::sqrt(exact.square.vages));
    }
    for (std::size_t k = 0; k < all.size(); ++k) {
      plot.curves.push_back(points[k]);
      plot.curves.push_back(lines[k]);
    }
    add_plot(outcome_, context_, ports_, subject.slug, plot);
  }
};

}  // namespace

ExperimentOutcome reproduce_score_bias(const ExperimentContext& context, const Ports& ports) {
  return Runner(context, ports).run();
}

}  // namespace gibbsite
