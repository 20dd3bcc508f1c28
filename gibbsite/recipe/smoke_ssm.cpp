#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/metric/moments.h>
#include <gibbsite/metric/quadrature.h>
#include <gibbsite/metric/score_matching_loss.h>
#include <gibbsite/recipe/sample.h>
#include <gibbsite/recipe/smoke_ssm.h>
#include <gibbsite/recipe/train.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

constexpr std::int64_t kFresh = 100000;

class Collector : public SampleWriter {
 public:
  void write(std::int64_t, const Tensor& x) override { states.push_back(x.detach().cpu()); }
  std::vector<Tensor> states;
};

Row make_row(const Parts& parts, const char* metric, const Estimate& estimate, const char* unit) {
  Row row;
  row.method = "jet-ssm";
  row.dataset = data_name(parts);
  row.metric = metric;
  row.value = estimate.value;
  row.standard_error = estimate.standard_error;
  row.unit = unit;
  return row;
}

}  // namespace

ExperimentOutcome reproduce_smoke_ssm(const ExperimentContext& context, const Ports& ports) {
  const bool smoke = context.scale == "smoke";
  TrainRequest request;
  request.recipe = "smoke/ssm";
  if (smoke) request.set = {"train.steps=200", "train.batch_size=256", "sample.burn_in=100", "sample.steps=100"};
  request.set.insert(request.set.end(), context.set.begin(), context.set.end());
  request.seed = static_cast<std::int64_t>(context.seed);
  request.out = context.directory + "/run";
  request.path = context.path;
  train_or_resume(request, ports);

  const RunDirectory run = RunDirectory::open(request.out);
  const Parts parts = load_run(run, {}, true, context.path, *ports.logger);
  const Density& truth = *parts.data->density;
  const Pipeline& pipeline = parts.transforms.pipeline;
  const Energy& model = *parts.energy;
  for (Tensor& parameter : parts.energy->module().parameters()) parameter.requires_grad_(false);
  const EnergyFn energy = [&](const Tensor& x) { return model.energy(pipeline.forward(x)) - pipeline.log_abs_det(x); };
  const Tensor like = parts.like();
  const Box box = truth.box();
  const Quadrature integral = quadrature(energy, box, like);

  Rng held_out_rng = parts.rng("held-out");
  const Tensor held_out = truth.sample(kFresh, held_out_rng, parts.dtype).to(parts.device);
  Estimate likelihood = mean_estimate(-energies(energy, held_out) - integral.log_z);
  likelihood.standard_error = std::hypot(likelihood.standard_error, integral.log_z_error);
  Rng fresh_rng = parts.rng("fresh");
  ScalarFunction function;
  function.value = energy;
  const Tensor fresh = truth.sample(kFresh, fresh_rng, parts.dtype).to(parts.device);
  const Estimate loss = score_matching_loss(function, fresh);

  Collector collector;
  Ports sampling = ports;
  sampling.samples = &collector;
  const Drawn drawn = draw(parts, smoke ? 64 : 1024, parts.rng("sample"), sampling);
  const Tensor states = torch::stack(collector.states).to(torch::kDouble);
  const MomentComparison moments = compare_moments(states, integral.mean, integral.covariance);
  const double acceptance = drawn.acceptance.mean().item<double>();

  const double bound = -truth.entropy().value(), floor = -truth.fisher_information().value() / 2;
  Row ll = make_row(parts, "log_likelihood", likelihood, "nats"), sm = make_row(parts, "sm_loss", loss, "1");
  ll.settings["truth"] = bound;
  sm.settings["truth"] = floor;
  Estimate z, accepted;
  z.value = moments.worst_z;
  accepted.value = acceptance;
  context.add({ll, sm, make_row(parts, "moments", z, "standard errors"), make_row(parts, "acceptance", accepted, "1")});

  ExperimentOutcome outcome;
  outcome.summary = {
      fmt::format("held-out log-likelihood {:.4f} ± {:.4f} (bound {:.4f})", likelihood.value, likelihood.standard_error,
                  bound),
      fmt::format("Hyvärinen loss {:.2f} ± {:.2f} on {} fresh points (floor {:.2f})", loss.value, loss.standard_error,
                  kFresh, floor),
      fmt::format("sampler moments against quadrature: largest |z| {:.2f} over {} independent chains", moments.worst_z,
                  moments.independent),
      fmt::format("sampler acceptance {:.3f}", acceptance),
  };

  constexpr std::int64_t kGrid = 200;
  const auto panel = [&](const char* title, const EnergyFn& of, double log_z) {
    DensityPanel made;
    made.title = title;
    made.values = density_grid(of, box, like, kGrid, log_z);
    made.x_low = box.low[0];
    made.x_high = box.high[0];
    made.y_low = box.low[1];
    made.y_high = box.high[1];
    return made;
  };
  DensityPlot plot;
  plot.panels = {panel("learned", energy, integral.log_z),
                 panel(
                     "true", [&](const Tensor& x) { return -truth.log_density(x); }, 0)};
  plot.title = "Learned density beside the true one";
  add_plot(outcome, context, ports, "density", plot);
  return outcome;
}

}  // namespace gibbsite
