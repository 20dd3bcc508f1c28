#include <gibbsite/core/error.h>
#include <gibbsite/recipe/finalise.h>
#include <gibbsite/train/clipping.h>
#include <gibbsite/train/optimizer.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>

namespace gibbsite {
namespace {

// Out of training, parameters without gradients; back as they were at the end.
class Frozen {
 public:
  explicit Frozen(torch::nn::Module& module) : module_(module), training_(module.is_training()) {
    for (const Tensor& parameter : module.parameters()) {
      if (!parameter.requires_grad()) continue;
      parameters_.push_back(parameter);
      parameter.requires_grad_(false);
    }
    module.eval();
  }
  ~Frozen() {
    for (const Tensor& parameter : parameters_) parameter.requires_grad_(true);
    module_.train(training_);
  }
  Frozen(const Frozen&) = delete;
  Frozen& operator=(const Frozen&) = delete;

 private:
  torch::nn::Module& module_;
  bool training_;
  std::vector<Tensor> parameters_;
};

}  // namespace

void finalise(ClosedFormEnergy& energy, const Objective& objective, const Tensor& training, const Tensor& validation,
              const FinaliseOptions& options, const Rng& rng) {
  const std::optional<FitProblem> problem = objective.fit_problem();
  if (!problem) throw RequestError("finalise", "the objective poses no closed-form problem");
  const Frozen frozen(energy.module());
  Rng fit_rng = rng.stream("fit");
  const NormalEquations equations = energy.gather(training, *problem, fit_rng);
  if (options.steps > 0 && validation.size(0) > 0) {
    // In the eigenbasis of the Gram matrix another ridge costs one matrix-vector product.
    const auto [values, vectors] = at::linalg_eigh(equations.gram);
    const Tensor rotated = vectors.t().mv(equations.target);
    const Tensor log_ridge = energy.log_ridge().detach().clone().requires_grad_(true);
    OptimizerOptions adam;
    adam.learning_rate = options.learning_rate;
    const auto optimizer = make_optimizer(adam, {{"log_ridge", log_ridge}});
    ClippingOptions clipping;
    clipping.clip_norm = options.clip_norm;
    const std::int64_t rows = std::min(options.batch_size, validation.size(0));
    for (std::int64_t step = 0; step < options.steps; ++step) {
      Rng own = rng.at_step(static_cast<std::uint64_t>(step));
      const Tensor ridge = (log_ridge.to(torch::kDouble) * std::log(10.0)).exp();
      energy.use(-vectors.mv(rotated / (values + ridge)));
      Batch batch;
      batch.x = validation.index_select(0, own.stream("rows").permutation(validation.size(0)).slice(0, 0, rows));
      std::vector<Tensor> gradients = torch::autograd::grad({objective(batch, own).backward}, {log_ridge});
      clip_gradients(gradients, clipping);
      optimizer->step(gradients, options.learning_rate);
    }
    const torch::NoGradGuard no_grad;
    energy.log_ridge().copy_(log_ridge);
  }
  const torch::NoGradGuard no_grad;
  energy.use(energy.solve(equations));
}

}  // namespace gibbsite
