// A recorded network that runs without an autograd graph: energies, gradients in the event and in the parameters, jets, and the
// reverse pass of the gradient that denoising objectives need. float32 on the CPU.
//
// Rows go through all layers in blocks that stay in the cache, with packed weights (matrix_product.h) and activations that give
// value and slope in one pass. Blocks are divided among threads, whole rows each: numbers of a row do not depend on how many
// threads there are. Sums over rows (parameters) are added up in the order of the threads' shares.
#pragma once

#include <gibbsite/nn/matrix_product.h>
#include <gibbsite/nn/recording.h>

#include <memory>
#include <string>
#include <vector>

namespace gibbsite {

/// Slices of a pass: value alone (1), or those of a Jet.
struct PlanSlices {
  std::int64_t order = 0, directions = 0;
  std::int64_t count() const { return order == 0 ? 1 : order + directions; }
};

/// A forward pass and what reverse passes of it need. Everything is [slices * B, ...], slices outermost, as in Jet.
class PlanRun {
 public:
  virtual ~PlanRun() = default;
  virtual const Tensor& energies() const = 0;  ///< [slices * B]

  struct Gradients {
    Tensor input;                          ///< like the events, undefined unless wanted
    std::vector<Tensor> parameters;        ///< in the order of Plan::parameters, empty unless wanted
    std::shared_ptr<const void> adjoints;  ///< what reverse_gradient needs, null unless wanted
  };
  /// Of Σ seed · energies. `keep`: adjoints are wanted; then the input is too, and there is one slice.
  virtual Gradients reverse(const Tensor& seed, bool input, bool parameters, bool keep) const = 0;

  struct GradientReverse : Gradients {
    Tensor along;  ///< [B], direction · gradient of the energy, without the seed
  };
  /// Of Σ direction · (the gradient in the input that reverse returned with these adjoints); direction like the events.
  virtual GradientReverse reverse_gradient(const Gradients& gradient, const Tensor& direction, bool input,
                                           bool parameters) const = 0;
};

/// Energies and gradients of rows by one thread.
class PlanWorker {
 public:
  virtual ~PlanWorker() = default;
  /// x: [rows, event]; energy: [rows], may be null; score: [rows, event], minus the gradient, may be null.
  virtual void operator()(const float* x, std::int64_t rows, float* energy, float* score) = 0;
};

/// Tells those who count multiply-adds on this thread of so many that no LibTorch operation made.
void report_multiply_adds(std::int64_t count);

class Plan {
 public:
  /// `energy`: one number per row, the last value of a recording whose layers are all known, with dense float32 parameters on
  /// the CPU.
  explicit Plan(const Recorded& energy);
  /// What keeps a network from having a plan, empty where nothing does.
  static std::string obstacle(const Recorded& energy);
  ~Plan();
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  /// Weights and biases, every one once.
  const std::vector<Tensor>& parameters() const;
  std::int64_t event_size() const;
  /// Whether all activations have a second derivative that is a function.
  bool smooth() const;

  /// Takes the present numbers of the parameters, if they have changed. While it runs no other pass of this plan may.
  void prepare(ProductPrecision precision = ProductPrecision::kFloat32) const;
  /// x: [slices * B, event], dense float32 on the CPU. Without `keep` there is nothing for reverse passes.
  std::unique_ptr<PlanRun> run(const Tensor& x, PlanSlices slices, bool keep) const;
  struct ScoreFit {
    Tensor distances;  ///< [B], ½‖minus the gradient - target‖²
    std::vector<Tensor>
        parameters;  ///< gradient of Σ weight · distances, in the order of parameters(); empty unless wanted
  };
  /// One pass for a loss in the gradient of the energy, which keeps nothing from block to block. x, target: [B, event], weight:
  /// [B], dense float32 on the CPU; after prepare.
  ScoreFit fit_score(const Tensor& x, const Tensor& target, const Tensor& weight, bool parameters) const;
  /// For rows in blocks of block_rows(); after prepare.
  std::unique_ptr<PlanWorker> worker(ProductPrecision precision) const;
  static std::int64_t block_rows();
  /// Multiply-adds of one row.
  std::int64_t multiply_adds() const;

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace gibbsite
