// An energy of one's own, trained by exact score matching. The model is a Gaussian with one precision per coordinate, so
// the optimum is known: each precision is one over a variance. Exits with 1 unless training finds it.
#include <gibbsite/model/energy.h>
#include <gibbsite/nn/parameters.h>
#include <gibbsite/objective/score_matching.h>
#include <gibbsite/train/trainer.h>
#include <torch/types.h>

#include <cmath>
#include <cstdio>

using namespace gibbsite;

// E(x) = ½ Σ exp(a_i) x_i². Only energy() of a tensor is written here; derivatives come from autograd.
class Precisions : public Energy {
 public:
  explicit Precisions(const Rng& init)
      : parameters_(init, at::kFloat, at::kCPU), logarithms_(parameters_.constant("logarithms", {2}, 0)) {}
  using Energy::energy;
  Tensor energy(const Tensor& x) const override { return 0.5 * (logarithms_.exp() * x.square()).sum(-1); }
  torch::nn::Module& module() override { return parameters_.module(); }
  Shape event() const override { return {2}; }
  Tensor values() const { return logarithms_.detach().exp(); }

 private:
  Parameters parameters_;
  Tensor logarithms_;
};

int main() {
  const Rng rng(1, "example");
  Precisions model(rng.stream("model"));
  ObjectiveParts parts;
  parts.energy = &model;
  ExactScoreMatchingOptions options;
  options.derivative = "autograd";
  const auto objective = make_exact_score_matching(options, parts);

  TrainerSetup setup;
  setup.parts = {{"model", &model.module()}};
  TrainPhase phase;
  phase.name = "main";
  phase.objective = objective.get();
  phase.optimizer.learning_rate = 0.02;
  setup.phases = {phase};
  setup.options.steps = 400;
  const Tensor deviations = torch::tensor({0.5F, 2.0F});
  setup.batches = [&](std::uint64_t step, std::int64_t size) {
    Batch batch;
    batch.x = rng.stream("data").at_step(step).normal({size, 2}, at::kFloat) * deviations;
    return batch;
  };
  Trainer(std::move(setup)).run();
  const double narrow = model.values()[0].item<double>(), wide = model.values()[1].item<double>();
  std::printf("precisions %.3f and %.3f, expected 4 and 0.25\n", narrow, wide);
  return std::abs(narrow / 4 - 1) < 0.1 && std::abs(wide / 0.25 - 1) < 0.1 ? 0 : 1;
}
