#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/manifold/geodesic_jet.h>
#include <gibbsite/metric/estimate.h>
#include <gibbsite/objective/minimum_velocity.h>
#include <gibbsite/recipe/contrastive_step.h>
#include <gibbsite/recipe/train.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {
namespace {

struct Scale {
  std::vector<double> epsilons;
  std::int64_t held_out, draws, records;
};

Scale scale_of(const std::string& name) {
  if (name == "smoke") return {{1e-2, 1e-3}, 500, 10, 4};
  return {{1e-2, 1e-3, 1e-4}, name == "desk" ? 100000 : 1000000, name == "desk" ? 300 : 2000, 40};
}

std::vector<std::string> variant(const std::string& method, double epsilon) {
  if (method == "exact-sm") return {"objective.exact=true"};
  std::vector<std::string> set = {"objective.form=difference", fmt::format("objective.epsilon={}", epsilon)};
  if (method != "mvl-cv") set.emplace_back("objective.negatives=frozen");
  if (method == "cd-1") set.emplace_back("objective.control_variate=false");
  return set;
}

class ContrastiveStep {
 public:
  ContrastiveStep(const ExperimentContext& context, const Ports& ports)
      : context_(context), ports_(ports), scale_(scale_of(context.scale)) {}

  ExperimentOutcome run() {
    const Parts exact = train("exact-sm", 0);
    for (const char* method : {"cd-1", "cd-1-cv", "mvl-cv"})
      for (const double epsilon : scale_.epsilons) train(method, epsilon);
    for (const char* method : {"cd-1", "cd-1-cv", "mvl-cv"})
      for (const double epsilon : scale_.epsilons) measure_gradient(exact, method, epsilon);
    return std::move(outcome_);
  }

 private:
  const ExperimentContext& context_;
  const Ports& ports_;
  Scale scale_;
  ExperimentOutcome outcome_;

  Config recipe(const std::string& method, double epsilon) const {
    TrainRequest request;
    request.recipe = "mvl/cd1";
    request.set = variant(method, epsilon);
    if (context_.scale == "smoke")
      request.set.insert(request.set.end(), {"train.steps=8", "train.batch_size=32", "train.validate_every=0"});
    request.set.insert(request.set.end(), context_.set.begin(), context_.set.end());
    request.seed = static_cast<std::int64_t>(context_.seed);
    return requested_recipe(request);
  }

  Row row(const std::string& method, const char* metric, double epsilon, double value, double error) const {
    Row made;
    made.method = method;
    made.dataset = "banana";
    made.metric = metric;
    made.value = value;
    made.standard_error = error;
    made.unit = "1";
    if (epsilon > 0) made.settings["epsilon"] = epsilon;
    return made;
  }

  // Plain updates, so that losses can be looked at on the way.
  Parts train(const std::string& method, double epsilon) {
    Parts parts = build_parts(recipe(method, epsilon), context_.path);
    const PhaseParts& phase = parts.phases.front();
    NamedTensors parameters;
    for (const auto& item : parts.energy->module().named_parameters())
      parameters.emplace_back(item.key(), item.value());
    const auto optimizer = make_optimizer(phase.optimizer, parameters);
    const Loader loader = parts.data->loader(parts.dtype);
    Rng held_rng = parts.rng("held-out");
    const Tensor held = parts.data->density->sample(scale_.held_out, held_rng, parts.dtype);
    const Tensor small = held.narrow(0, 0, std::min<std::int64_t>(held.size(0), 10000));
    const bool figure = method == "cd-1-cv" && epsilon == 1e-3;
    const std::int64_t steps = parts.train.steps, every = std::max<std::int64_t>(1, steps / scale_.records);
    Curve tracked{"what CD-1 reports", {}, {}, {}}, validation{"validation by MVL", {}, {}, {}},
        exact{"exact loss", {}, {}, {}};
    double sum = 0;
    ports_.logger->info(fmt::format("{} {}", method, epsilon));
    for (std::int64_t k = 0; k < steps; ++k) {
      if (ports_.interrupt->requested()) throw Interrupted("reproduce", fmt::format("stopped at {}", method));
      Batch batch;
      batch.x = loader.batch(k, parts.train.batch_size).x;
      Rng rng = parts.rng("train").at_step(static_cast<std::uint64_t>(k));
      const Loss loss = (*phase.objective)(batch, rng);
      std::vector<Tensor> list;
      for (const auto& parameter : parameters) list.push_back(parameter.second);
      const auto gradients = torch::autograd::grad({loss.backward}, list, {}, false, false, true);
      const double falling = 0.5 * (1 + std::cos(M_PI * static_cast<double>(k) / static_cast<double>(steps)));
      optimizer->step(gradients, phase.optimizer.learning_rate * falling);
      sum += loss.log.front().second.item<double>();
      if (figure && (k + 1) % every == 0) {
        MinimumVelocityOptions step;
        step.form = "difference";
        step.epsilon = 1e-3;
        step.scale = "hyvarinen";
        Rng noise = parts.rng("validation");
        const ScalarFunction f = scalar_function(*parts.energy);
        const double at = static_cast<double>(k + 1);
        for (Curve* curve : {&tracked, &validation, &exact}) curve->x.push_back(at);
        tracked.y.push_back(sum / static_cast<double>(every));
        validation.y.push_back(minimum_velocity_terms(step, f, nullptr, small, noise).mean().item<double>());
        exact.y.push_back(riemannian_loss_terms(f, nullptr, small).mean().item<double>());
      }
      if ((k + 1) % every == 0) sum = 0;
    }
    const Estimate loss = mean_estimate(riemannian_loss_terms(scalar_function(*parts.energy), nullptr, held));
    Row made = row(method, "sm_loss", epsilon, loss.value, loss.standard_error);
    made.settings["truth"] = -0.5 * *parts.data->density->fisher_information();
    context_.add({made});
    outcome_.summary.push_back(fmt::format("{}{}: exact loss {:.4f} ± {:.4f}", method,
                                           epsilon > 0 ? fmt::format(" at {:.0e}", epsilon) : "", loss.value,
                                           loss.standard_error));
    if (figure) {
      CurvePlot plot{
          "one run of cd-1-cv at 1e-3, Hyvärinen's scale", "step", "loss", false, false, {tracked, validation, exact}};
      add_plot(outcome_, context_, ports_, "tracking", plot);
    }
    return parts;
  }

  // Over draws of the noise with the network of exact-sm and one batch.
  void measure_gradient(const Parts& at, const std::string& method, double epsilon) {
    const Parts variant = build_parts(recipe(method, epsilon), context_.path);
    const torch::NoGradGuard no_graph;
    auto from = at.energy->module().named_parameters();
    for (auto& item : variant.energy->module().named_parameters()) item.value().copy_(from[item.key()]);
    Batch batch;
    batch.x = at.data->loader(at.dtype).batch(0, at.train.batch_size).x;
    Tensor sum, squares;
    for (std::int64_t k = 0; k < scale_.draws; ++k) {
      const torch::AutoGradMode record(true);
      Rng rng = at.rng("gradient").at_step(static_cast<std::uint64_t>(k));
      const Loss loss = (*variant.phases.front().objective)(batch, rng);
      std::vector<Tensor> flat;
      for (const Tensor& g :
           torch::autograd::grad({loss.backward}, variant.energy->module().parameters(), {}, false, false, true))
        if (g.defined()) flat.push_back(g.flatten().to(torch::kDouble));
      const Tensor gradient = torch::cat(flat).detach();
      sum = sum.defined() ? sum + gradient : gradient;
      squares = squares.defined() ? squares + gradient.square() : gradient.square();
    }
    const auto n = static_cast<double>(scale_.draws);
    const Tensor variances = (squares - sum.square() / n) / (n - 1);
    const double trace = variances.sum().item<double>();
    context_.add({row(method, "gradient_variance", epsilon, trace, std::nan(""))});
    outcome_.summary.push_back(fmt::format("{} at {:.0e}: gradient variance {:.4g}", method, epsilon, trace));
  }
};

}  // namespace

ExperimentOutcome reproduce_contrastive_step(const ExperimentContext& context, const Ports& ports) {
  return ContrastiveStep(context, ports).run();
}

}  // namespace gibbsite
