// The logistic regression of noise-contrastive estimation, and its constant c, which stands for log Z.
#pragma once

#include <gibbsite/core/options.h>
#include <gibbsite/objective/objective.h>

#include <string>

namespace gibbsite {

struct ContrastOptions {
  std::int64_t ratio = 1;
  std::string normaliser = "profile";
  double normaliser_rate = 1e-3;
  /// `counts`: whether the objective compares with noise at all.
  void declare(OptionVisitor& o, bool counts = true) {
    o.only_if(counts).option("ratio", ratio, "noise points per example", at_least(1));
    o.only_if(counts).option(
        "normaliser", normaliser,
        "profile: c is the best constant for each batch; learned: c is trained, from 0, by Adam with "
        "decays 0.9 and 0.95; model: 0, the energy has a constant of its own",
        {"profile", "learned", "model"});
    o.only_if(counts && normaliser == "learned")
        .option("normaliser_rate", normaliser_rate, "learning rate of c", positive());
  }
};

class LogisticContrast {
 public:
  explicit LogisticContrast(const ContrastOptions& options) : options_(options) {}
  /// mean softplus(c - G) over data + ratio · mean softplus(G - c) over noise, with log odds G - c, both [n]; G has its
  /// -log ratio already. The gradient leaves c alone: it is at its best, or trained here, after its use. Logs
  /// log_normaliser, the c that was used.
  Loss loss(const Tensor& of_data, const Tensor& of_noise) const;

  /// Whether c depends on the whole batch.
  bool mixes_rows() const { return options_.normaliser != "model"; }
  NamedTensors state() const { return learned_; }
  void restore(const NamedTensors& state) { learned_ = state; }

 private:
  ContrastOptions options_;
  mutable NamedTensors learned_;  // c, Adam's moments of it and count, [4] float64; empty before the first update

  double best_constant(const Tensor& data, const Tensor& noise) const;
  double learned_constant(const Tensor& data, const Tensor& noise) const;
};

}  // namespace gibbsite
