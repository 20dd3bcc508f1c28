// Data of one's own: a law one can sample and whose log density is known, here Neal's funnel. A perceptron learns its
// energy by sliced score matching. Exits with 1 unless the score it learns explains most of the true one.
#include <gibbsite/data/loader.h>
#include <gibbsite/model/mlp_energy.h>
#include <gibbsite/objective/score_matching.h>
#include <gibbsite/train/trainer.h>
#include <torch/types.h>

#include <cstdio>

using namespace gibbsite;

// x₀ ~ N(0, ½²) and x₁ ~ N(0, exp(x₀)).
class Funnel : public Density {
 public:
  std::int64_t dimension() const override { return 2; }
  Tensor sample(std::int64_t n, Rng& rng, at::ScalarType dtype = at::kFloat) const override {
    const Tensor z = rng.normal({n, 2}, dtype), width = 0.5 * z.select(1, 0);
    return torch::stack({width, z.select(1, 1) * (width / 2).exp()}, 1);
  }
  Box box() const override { return {{-4, -30}, {4, 30}}; }
  double length_scale() const override { return 0.2; }
  bool has_log_density() const override { return true; }
  Tensor log_density(const Tensor& x) const override {
    const Tensor width = x.select(1, 0);
    return -2 * width.square() - 0.5 * width - 0.5 * x.select(1, 1).square() * (-width).exp() - 1.1447298858494002;
  }
};

int main() {
  const Rng rng(1, "example");
  const auto data = std::make_shared<Funnel>();
  const Loader loader(data, Pipeline(), rng.stream("data"));
  ModelContext context;
  context.event = {2};
  const auto model = make_mlp_energy({}, context);
  ObjectiveParts parts;
  parts.energy = model.get();
  const auto objective = make_sliced_score_matching_vr({}, parts);

  TrainerSetup setup;
  setup.parts = {{"model", &model->module()}};
  TrainPhase phase;
  phase.name = "main";
  phase.objective = objective.get();
  phase.optimizer.learning_rate = 3e-3;
  setup.phases = {phase};
  setup.options.steps = 800;
  setup.batches = [&](std::uint64_t step, std::int64_t size) {
    return Batch{loader.batch(std::int64_t(step), size).x, {}};
  };
  Trainer(std::move(setup)).run();
  Rng fresh = rng.stream("fresh");
  const Tensor x = data->sample(10000, fresh), truth = data->score(x);
  const double missed = ((score(*model, x) - truth).square().sum() / truth.square().sum()).item<double>();
  std::printf("share of the score that is not explained: %.3f\n", missed);
  return missed < 0.1 ? 0 : 1;
}
