// An objective of one's own: denoising score matching with Laplace noise of scale b in place of Gaussian noise. With s the
// model's score at y = x + n it minimises ½‖s(y) + sign(n)/b‖². For data N(0, 1) and E(y) = k y²/2 the optimum is
// k = 1/(1 + 2b²). Exits with 1 unless training finds it.
#include <gibbsite/model/quadratic_energy.h>
#include <gibbsite/objective/support.h>
#include <gibbsite/train/trainer.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>
#include <cstdio>

using namespace gibbsite;

class LaplaceDenoising : public Objective {
 public:
  LaplaceDenoising(const Energy& energy, double scale) : score_(make_energy_score(energy)), scale_(scale) {}
  Loss operator()(const Batch& batch, Rng& rng) const override {
    const Tensor sign = rng.rademacher(batch.x.sizes(), batch.x);
    const Tensor noise = -scale_ * sign * rng.uniform(batch.x.sizes(), batch.x).log();
    const ScoreEval score = score_->at(batch.x + noise, rng);
    const Tensor residual = score.value + sign / scale_;
    // The residual is frozen, so Σ residual · score has the gradient of the loss.
    const Tensor rows = sum_event(residual.square()) / 2;
    return surrogate_loss(score.pullback(residual / batch.x.size(0)), rows.mean());
  }

 private:
  std::unique_ptr<Score> score_;
  double scale_;
};

int main() {
  const Rng rng(1, "example");
  ModelContext context;
  context.event = {1};
  const auto model = make_quadratic_energy({}, context);
  const double scale = 0.5, expected = 1 / (1 + 2 * scale * scale);
  LaplaceDenoising objective(*model, scale);

  TrainerSetup setup;
  setup.parts = {{"model", &model->module()}};
  TrainPhase phase;
  phase.name = "main";
  phase.objective = &objective;
  setup.phases = {phase};
  setup.options.steps = 1500;
  setup.options.batch_size = 1000;
  setup.batches = [&](std::uint64_t step, std::int64_t size) {
    Batch batch;
    batch.x = rng.stream("data").at_step(step).normal({size, 1}, at::kFloat);
    return batch;
  };
  Trainer(std::move(setup)).run();
  const double found = model->module().parameters()[0].item<double>();
  std::printf("stiffness %.3f, expected %.3f\n", found, expected);
  return std::abs(found - expected) < 0.03 ? 0 : 1;
}
