// First-order optimisers whose whole state is a list of named tensors, so that a checkpoint restores them bit for bit.
//
//   adam     Kingma and Ba 2015, Algorithm 1; weight_decay is added to the gradient (L2)
//   adamw    Loshchilov and Hutter 2019; weight_decay shrinks the parameters by learning_rate · weight_decay instead
//   adamax   Kingma and Ba 2015, Algorithm 2, with epsilon added to |g| before the maximum
//   sgd      plain, with momentum (velocity u <- momentum u + g) or Nesterov momentum (step along g + momentum u)
//   rmsprop  Tieleman and Hinton 2012; variant "pytorch": g / (√v + ε) and v starts at 0; "tensorflow": g / √(v + ε)
//   and
//            v starts at 1. With momentum, "tensorflow" keeps the learning rate inside the velocity.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/core/tensor.h>

#include <memory>
#include <string>
#include <vector>

namespace gibbsite {

struct OptimizerOptions {
  std::string name = "adam";
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
  double momentum = 0;
  bool nesterov = false;
  double alpha = 0.99;
  std::string variant = "pytorch";
  void declare(OptionVisitor& o);
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  /// One update, in place, without a host-device sync. `gradients` follow the order of the parameters; an undefined one
  /// leaves its parameter and its moments alone.
  virtual void step(const std::vector<Tensor>& gradients, double learning_rate) = 0;
  /// The mean squared gradient of every parameter, its bias corrected, in new tensors; empty before the first step and for rules
  /// that keep none.
  virtual std::vector<Tensor> second_moments() const { return {}; }
  /// Whether second_moments() is there after the first step.
  virtual bool has_second_moments() const { return false; }
  /// The live state: "step" (0-dim int64) and "<moment>/<parameter>". Clone it to keep it.
  virtual NamedTensors state() const = 0;
  /// Copies `state` into the live state. Throws WorkError if a tensor is missing or has another shape or dtype.
  virtual void restore(const NamedTensors& state) = 0;
};

/// `parameters` are leaves, updated in place; moments share their dtype, device and memory layout.
/// Throws RequestError for an unknown name or a combination without meaning (Nesterov without momentum).
std::unique_ptr<Optimizer> make_optimizer(const OptimizerOptions& options, const NamedTensors& parameters);

namespace detail {
/// Adam for float32 on the CPU in one pass over memory; exposed so that a test can compare it with the tensor form.
void adam_update(float* parameter, const float* gradient, float* mean, float* square, std::int64_t n, float beta1,
                 float beta2, float epsilon, float step_size, float inverse_root_correction, float l2, float shrink);
}  // namespace detail

}  // namespace gibbsite
