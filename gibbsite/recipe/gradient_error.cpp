#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/metric/estimate.h>
#include <gibbsite/recipe/converted_energy.h>
#include <gibbsite/recipe/gradient_error.h>
#include <gibbsite/recipe/train.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>
#include <map>

namespace gibbsite {
namespace {

struct Subject {
  const char *model, *recipe;
  std::vector<std::string> set, smoke;
  std::int64_t batch_size;
};

const std::vector<Subject>& subjects() {
  const std::vector<std::string> small = {"model.filters=2", "model.stages=1", "train.steps=2", "train.batch_size=4"};
  static const std::vector<Subject> list = {
      {"mlp",
       "smoke/ssm",
       {"train.steps=1000", "train.batch_size=512", "train.validate_every=0", "objective.projection=sphere"},
       {"train.steps=4", "train.batch_size=16", "data.train=64", "data.validation=16", "data.test=16"},
       128},
      {"residual-elu", "fd/gradient-error", {"model.activation=elu"}, small, 8},
      {"residual-softplus", "fd/gradient-error", {"model.activation=normalised_softplus"}, small, 8},
      {"dkef",
       "fd/dkef",
       {"data.name=redwine", "train.steps=300", "train.validate_every=0", "objective.projection=sphere"},
       {"train.steps=4", "model.inducing=20"},
       200},
  };
  return list;
}

struct Scale {
  std::vector<double> epsilons;
  std::int64_t batches;
};

Scale scale_of(const std::string& name) {
  if (name == "smoke") return {{0.1}, 2};
  return {{1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1}, name == "desk" ? 4 : 16};
}

// All parameter gradients of the loss in one vector, float64.
Tensor gradient(Energy& energy, const Tensor& x, const Config& options, const Rng& rng) {
  ObjectiveParts parts;
  parts.energy = &energy;
  parts.batch_size = x.size(0);
  const auto objective = find_entry(objective_table(), "objective", "ssm", "").make(options, parts);
  Batch batch;
  batch.x = x;
  Rng noise = rng;
  const Tensor loss = (*objective)(batch, noise).backward;
  std::vector<Tensor> flat;
  const std::vector<Tensor> parameters = energy.module().parameters();
  const std::vector<Tensor> gradients = torch::autograd::grad({loss}, parameters, {}, {}, false, true);
  for (const Tensor& part : gradients)
    if (part.defined()) flat.push_back(part.flatten().to(at::kDouble));
  return torch::cat(flat);
}

// What is compared with float64 jets. Epsilon 0: jets.
struct Candidate {
  at::ScalarType dtype;
  double epsilon;
};

class Comparison {
 public:
  Comparison(const ExperimentContext& context, const Ports& ports)
      : context_(context), ports_(ports), scale_(scale_of(context.scale)) {
    for (const double epsilon : scale_.epsilons)
      for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) candidates_.push_back({dtype, epsilon});
    candidates_.push_back({at::kFloat, 0});
  }

  ExperimentOutcome run() {
    for (const Subject& subject : subjects()) compare(subject);
    return std::move(outcome_);
  }

 private:
  const ExperimentContext& context_;
  const Ports& ports_;
  Scale scale_;
  std::vector<Candidate> candidates_;
  ExperimentOutcome outcome_;

  void compare(const Subject& subject) {
    TrainRequest request;
    request.recipe = subject.recipe;
    request.set = subject.set;
    if (context_.scale == "smoke") request.set.insert(request.set.end(), subject.smoke.begin(), subject.smoke.end());
    request.set.insert(request.set.end(), context_.set.begin(), context_.set.end());
    request.seed = static_cast<std::int64_t>(context_.seed);
    request.out = fmt::format("{}/{}", context_.directory, subject.model);
    request.path = context_.path;
    ports_.logger->info(subject.model);
    const Parts initial = build_parts(requested_recipe(request), request.path);
    train_or_resume(request, ports_);
    const Parts trained = load_run(RunDirectory::open(request.out), {}, true, context_.path, *ports_.logger);

    std::vector<Row> rows;
    CurvePlot plot{fmt::format("{}: error of the finite-difference gradient", subject.model),
                   "epsilon",
                   "relative error",
                   true,
                   true,
                   {}};
    const std::pair<const char*, const Parts*> stages[] = {{"initial", &initial}, {"trained", &trained}};
    for (const auto& [stage, parts] : stages) {
      if (ports_.interrupt->requested()) throw Interrupted("reproduce", fmt::format("stopped at {}", subject.model));
      measure(subject, stage, *parts, rows, plot);
    }
    context_.add(rows);
    add_plot(outcome_, context_, ports_, subject.model, plot);
  }

  void measure(const Subject& subject, const std::string& stage, const Parts& parts, std::vector<Row>& rows,
               CurvePlot& plot) {
    const auto energy32 = converted_energy(parts, {}, at::kFloat, at::kCPU);
    const auto energy64 = converted_energy(parts, {}, at::kDouble, at::kCPU);
    const Config jet = Config::table({{"projection", Config("sphere")}});
    std::vector<std::vector<double>> cosines(candidates_.size()), errors(candidates_.size());
    for (std::int64_t k = 0; k < scale_.batches; ++k) {
      // float32 values in either precision, so that both see the same points.
      const Tensor x32 = parts.data->loader(at::kFloat).batch(k, subject.batch_size).x.to(at::kCPU);
      const Tensor x64 = x32.to(at::kDouble);
      const Rng rng = parts.rng("gradient").at_step(static_cast<std::uint64_t>(k));
      const Tensor truth = gradient(*energy64, x64, jet, rng);
      for (std::size_t i = 0; i < candidates_.size(); ++i) {
        Config options = jet;
        if (candidates_[i].epsilon > 0) {
          options.set("derivative", Config("finite_difference"));
          options.set("epsilon", Config(candidates_[i].epsilon));
        }
        const bool single = candidates_[i].dtype == at::kFloat;
        const Tensor found = gradient(single ? *energy32 : *energy64, single ? x32 : x64, options, rng);
        cosines[i].push_back((found.dot(truth) / (found.norm() * truth.norm())).item<double>());
        errors[i].push_back(((found - truth).norm() / truth.norm()).item<double>());
      }
    }
    std::map<std::string, Curve> curves;
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
      const double epsilon = candidates_[i].epsilon;
      const std::string dtype = candidates_[i].dtype == at::kFloat ? "float32" : "float64";
      const auto add = [&](const char* metric, const std::vector<double>& values) {
        const Estimate mean = mean_estimate(torch::tensor(values, torch::kDouble));
        Row row;
        row.method = epsilon > 0 ? "fd-ssm" : "jet-ssm";
        row.dataset = data_name(parts);
        row.metric = metric;
        row.value = mean.value;
        row.standard_error = mean.standard_error;
        row.unit = "1";
        row.settings["model"] = std::string(subject.model);
        row.settings["stage"] = stage;
        row.settings["dtype"] = dtype;
        if (epsilon > 0) row.settings["epsilon"] = epsilon;
        rows.push_back(row);
        return mean.value;
      };
      const double cosine = add("cosine", cosines[i]), error = add("relative_error", errors[i]);
      outcome_.summary.push_back(fmt::format("{} {}, {} {}: cosine {:.4f}, relative error {:.1e}", stage, subject.model,
                                             dtype, epsilon > 0 ? fmt::format("epsilon {}", epsilon) : "jet", cosine,
                                             error));
      Curve& curve = curves[epsilon > 0 ? dtype : "jet, " + dtype];
      curve.label = fmt::format("{}, {}", stage, epsilon > 0 ? dtype : "jet in " + dtype);
      for (const double x : epsilon > 0 ? std::vector<double>{epsilon} : scale_.epsilons) {
        curve.x.push_back(x);
        curve.y.push_back(error);
      }
    }
    for (const auto& entry : curves) plot.curves.push_back(entry.second);
  }
};

}  // namespace

ExperimentOutcome reproduce_gradient_error(const ExperimentContext& context, const Ports& ports) {
  return Comparison(context, ports).run();
}

}  // namespace gibbsite
