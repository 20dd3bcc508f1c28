#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/manifold/geodesic_jet.h>
#include <gibbsite/metric/quadrature.h>
#include <gibbsite/recipe/converted_energy.h>
#include <gibbsite/recipe/manifold_density.h>
#include <gibbsite/recipe/train.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

// What one of the experiments is.
struct Subject {
  const char* name;
  std::int64_t per_axis;  // of the cubature
  double radius;          // where it ends on a manifold that is not compact
};

struct Measured {
  double total_variation, loss, least_loss, log_z, divergence;
};

Measured measure(const Energy& energy, const Density& truth, const Manifold& manifold, const Cubature& rule) {
  const ScalarFunction f = scalar_function(energy);
  const Tensor log_p = truth.log_density(rule.points).detach(), p = log_p.exp() * rule.weights;
  const Tensor minus_energy = -energies(f.value, rule.points);
  const double log_z = torch::logsumexp(minus_energy + rule.weights.log(), 0).item<double>();
  const Tensor log_q = minus_energy - log_z;
  const Tensor slope = manifold.gradient(rule.points, truth.score(rule.points));
  Measured result{};
  result.total_variation = 0.5 * (rule.weights * (log_p.exp() - log_q.exp()).abs()).sum().item<double>();
  result.loss = (p * riemannian_loss_terms(f, &manifold, rule.points)).sum().item<double>();
  result.least_loss = -0.5 * (p * manifold.inner(rule.points, slope, slope)).sum().item<double>();
  result.log_z = log_z;
  result.divergence = (p * (log_p - log_q)).sum().item<double>();
  return result;
}

// Radius of a polar picture: a circle of 1 and the density outside it.
Curve polar(const std::string& label, const Tensor& density) {
  const std::int64_t n = density.size(0);
  Curve curve;
  curve.label = label;
  for (std::int64_t i = 0; i <= n; ++i) {
    const double angle = 2 * M_PI * static_cast<double>(i) / static_cast<double>(n);
    const double r = 1 + (density.defined() ? density[i % n].item<double>() : 0);
    curve.x.push_back(r * std::cos(angle));
    curve.y.push_back(r * std::sin(angle));
  }
  return curve;
}

// Points of the sphere for the cells of a Mollweide map, [rows, columns, 3], and which cells lie on it.
std::pair<Tensor, Tensor> mollweide(std::int64_t rows, std::int64_t columns) {
  const Tensor y = (torch::arange(rows, torch::kDouble) + 0.5) / rows * 2 - 1;
  const Tensor x = ((torch::arange(columns, torch::kDouble) + 0.5) / columns * 2 - 1) * 2;
  const std::vector<Tensor> grid = torch::meshgrid({y, x}, "ij");
  const Tensor theta = grid[0].asin(), on = (grid[0].square() + grid[1].square() / 4) < 1;
  const Tensor latitude = ((2 * theta + (2 * theta).sin()) / M_PI).clamp(-1, 1).asin();
  const Tensor longitude = (M_PI / 2 * grid[1] / theta.cos().clamp_min(1e-9)).clamp(-M_PI, M_PI);
  return {torch::stack({latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()}, 2), on};
}

class ManifoldDensity {
 public:
  ManifoldDensity(const ExperimentContext& context, const Ports& ports, const Subject& subject)
      : context_(context), ports_(ports), subject_(subject) {
    for (const std::string& assignment : context.set)
      if (assignment.rfind("method=", 0) == 0)
        methods_ = {assignment.substr(7)};
      else
        set_.push_back(assignment);
    for (const std::string& method : methods_)
      if (method != "jet-limit" && method != "mvl-cv")
        throw RequestError("--set", fmt::format("method '{}' is neither jet-limit nor mvl-cv", method));
  }

  ExperimentOutcome run() {
    for (const std::string& method : methods_) one(method);
    return std::move(outcome_);
  }

 private:
  const ExperimentContext& context_;
  const Ports& ports_;
  Subject subject_;
  std::vector<std::string> methods_ = {"jet-limit", "mvl-cv"}, set_;
  ExperimentOutcome outcome_;

  void one(const std::string& method) {
    TrainRequest request;
    request.recipe = fmt::format("mvl/{}", subject_.name);
    if (method == "mvl-cv") request.set = {"dtype=float64", "objective.form=difference", "objective.epsilon=1e-4"};
    if (context_.scale == "smoke")
      request.set.insert(request.set.end(), {"train.steps=60", "train.batch_size=256", "train.validate_every=0"});
    if (context_.scale == "paper") request.set.insert(request.set.end(), {"train.batch_size=50000"});
    request.set.insert(request.set.end(), set_.begin(), set_.end());
    request.seed = static_cast<std::int64_t>(context_.seed);
    request.out = fmt::format("{}/{}", context_.directory, method);
    request.path = context_.path;
    ports_.logger->info(method);
    train_or_resume(request, ports_);
    const Parts parts = load_run(RunDirectory::open(request.out), {}, true, context_.path, *ports_.logger);

    const auto energy = converted_energy(parts, {}, at::kDouble, at::kCPU);
    for (Tensor& parameter : energy->module().parameters()) parameter.requires_grad_(false);
    const Density& truth = *parts.data->density;
    const Cubature rule = parts.manifold->cubature(subject_.per_axis, subject_.radius);
    const Measured found = measure(*energy, truth, *parts.manifold, rule);
    std::vector<Row> rows;
    const auto add = [&](const char* metric, double value, const char* unit) {
      Row row;
      row.method = method;
      row.dataset = data_name(parts);
      row.metric = metric;
      row.value = value;
      row.unit = unit;
      rows.push_back(row);
      return &rows.back();
    };
    rows.reserve(4);
    add("total_variation", found.total_variation, "1");
    add("sm_loss", found.loss, "1")->settings["truth"] = found.least_loss;
    add("kl_divergence", found.divergence, "nats");
    add("log_z", found.log_z, "nats");
    context_.add(rows);
    outcome_.summary.push_back(
        fmt::format("{}: total variation {:.4f}, KL {:.5f}, score-matching loss {:.4f} (least {:.4f})", method,
                    found.total_variation, found.divergence, found.loss, found.least_loss));
    picture(method, *energy, truth, found.log_z, *parts.manifold);
  }

  void picture(const std::string& method, const Energy& energy, const Density& truth, double log_z,
               const Manifold& manifold) {
    const std::string name = subject_.name;
    const EnergyFn f = scalar_function(energy).value;
    const auto model = [&](const Tensor& x) { return (-energies(f, x) - log_z).exp(); };
    const auto exact = [&](const Tensor& x) { return truth.log_density(x).detach().exp(); };
    if (name == "circle") {
      const Tensor x = manifold.cubature(360, 0).points;
      CurvePlot plot{method + ": density outside the unit circle", "x", "y", false, false, {}, false, true};
      plot.curves = {polar("circle", torch::zeros({360})), polar("true", exact(x)), polar(method, model(x))};
      add_plot(outcome_, context_, ports_, method, plot);
      return;
    }
    Tensor x, on;
    std::vector<double> box;
    std::int64_t rows = 150, columns = 150;
    const auto axis = [](std::int64_t n, double reach) {
      return ((torch::arange(n, torch::kDouble) + 0.5) / n * 2 - 1) * reach;
    };
    if (name == "sphere") {
      columns = 300;
      std::tie(x, on) = mollweide(rows, columns);
      box = {-2, 2, -1, 1};
    } else if (name == "torus") {
      const std::vector<Tensor> grid = torch::meshgrid({axis(rows, M_PI), axis(columns, M_PI)}, "ij");
      x = torch::stack({grid[1].cos(), grid[1].sin(), grid[0].cos(), grid[0].sin()}, 2);
      box = {-M_PI, M_PI, -M_PI, M_PI};
    } else if (name == "hyperbolic") {
      // Poincaré's disc.
      const std::vector<Tensor> grid = torch::meshgrid({axis(rows, 1), axis(columns, 1)}, "ij");
      const Tensor s = grid[0].square() + grid[1].square(), left = (1 - s).clamp_min(1e-3);
      on = s < 0.95;
      x = torch::stack({(1 + s) / left, 2 * grid[1] / left, 2 * grid[0] / left}, 2);
      box = {-1, 1, -1, 1};
    } else {
      return;
    }
    const Tensor flat = x.view({-1, x.size(2)});
    const auto panel = [&](const char* title, const Tensor& values) {
      DensityPanel made;
      made.title = title;
      made.values = values.view({rows, columns});
      if (on.defined()) made.values = made.values * on.to(torch::kDouble);
      made.x_low = box[0];
      made.x_high = box[1];
      made.y_low = box[2];
      made.y_high = box[3];
      return made;
    };
    DensityPlot plot;
    plot.panels = {panel("learned", model(flat)), panel("true", exact(flat))};
    plot.color_high = plot.panels[1].values.max().item<double>();
    plot.title = method + " beside the truth";
    add_plot(outcome_, context_, ports_, method, plot);
  }
};

}  // namespace

ExperimentOutcome reproduce_circle(const ExperimentContext& context, const Ports& ports) {
  return ManifoldDensity(context, ports, {"circle", 5000, 0}).run();
}
ExperimentOutcome reproduce_sphere(const ExperimentContext& context, const Ports& ports) {
  return ManifoldDensity(context, ports, {"sphere", 200, 0}).run();
}
ExperimentOutcome reproduce_torus(const ExperimentContext& context, const Ports& ports) {
  return ManifoldDensity(context, ports, {"torus", 160, 0}).run();
}
ExperimentOutcome reproduce_hyperbolic(const ExperimentContext& context, const Ports& ports) {
  return ManifoldDensity(context, ports, {"hyperbolic", 200, 5}).run();
}
ExperimentOutcome reproduce_rotations(const ExperimentContext& context, const Ports& ports) {
  return ManifoldDensity(context, ports, {"rotations", 56, 0}).run();
}

}  // namespace gibbsite
