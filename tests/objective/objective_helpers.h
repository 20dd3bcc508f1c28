// What tests of objectives share: parts by name, gradients, slopes.
#pragma once

#include <gibbsite/model/energy.h>
#include <gibbsite/model/score.h>
#include <gibbsite/objective/objective.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace gibbsite {

inline std::unique_ptr<Energy> make_energy(const std::string& name, const Shape& event, const Config& config,
                                           at::ScalarType dtype = at::kDouble) {
  ModelContext context;
  context.event = event;
  context.init = Rng(3, "init");
  context.dtype = dtype;
  return find_entry(energy_table(), "model", name, "").make(config, context);
}

inline std::unique_ptr<ScoreNetwork> make_score(const Shape& event, const Config& config) {
  ModelContext context;
  context.event = event;
  context.init = Rng(3, "init");
  context.dtype = at::kDouble;
  return find_entry(score_table(), "score", "mlp", "").make(config, context);
}

inline std::unique_ptr<Objective> make_objective(const std::string& name, Energy& energy, const Config& config) {
  ObjectiveParts parts;
  parts.energy = &energy;
  return find_entry(objective_table(), "objective", name, "").make(config, parts);
}

inline std::unique_ptr<Objective> make_objective(const std::string& name, ScoreNetwork& score, const Config& config) {
  ObjectiveParts parts;
  parts.score = &score;
  return find_entry(objective_table(), "objective", name, "").make(config, parts);
}

/// A reported value and the gradients of all parameters.
struct Evaluated {
  double value = 0;
  std::vector<Tensor> gradients;
};

/// A parameter that the loss does not depend on has gradient zero.
inline std::vector<Tensor> gradients(const Tensor& loss, torch::nn::Module& module) {
  const std::vector<Tensor> parameters = module.parameters();
  std::vector<Tensor> all = torch::autograd::grad({loss}, parameters, {}, true, false, true);
  for (std::size_t i = 0; i < parameters.size(); ++i)
    if (!all[i].defined()) all[i] = torch::zeros_like(parameters[i]);
  return all;
}

inline Loss loss_at(const Objective& objective, const Tensor& x, double progress = 0) {
  Rng rng(9, "objective");
  Batch batch;
  batch.x = x;
  batch.progress = progress;
  return objective(batch, rng);
}

template <class Model>
std::vector<Tensor> gradients(const Objective& objective, Model& model, const Tensor& x) {
  return gradients(loss_at(objective, x).backward, model.module());
}

template <class Model>
Evaluated evaluate(const Objective& objective, Model& model, const Tensor& x, double progress = 0) {
  const Loss loss = loss_at(objective, x, progress);
  return {loss.log.front().second.item<double>(), gradients(loss.backward, model.module())};
}

inline Evaluated evaluated(const Tensor& loss, torch::nn::Module& module) {
  return {loss.item<double>(), gradients(loss, module)};
}

/// Largest difference of two lists of gradients, relative to the largest entry of the second.
inline double worst(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  double difference = 0, scale = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference = std::max(difference, (a[i].to(at::kDouble) - b[i].to(at::kDouble)).abs().max().item<double>());
    scale = std::max(scale, b[i].abs().max().item<double>());
  }
  return difference / scale;
}

/// Slope of log y against log x by least squares.
inline double log_slope(const std::vector<double>& x, const std::vector<double>& y) {
  double mean_x = 0, mean_y = 0, xy = 0, xx = 0;
  const auto n = static_cast<double>(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    mean_x += std::log(x[i]) / n;
    mean_y += std::log(y[i]) / n;
  }
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double d = std::log(x[i]) - mean_x;
    xy += d * (std::log(y[i]) - mean_y);
    xx += d * d;
  }
  return xy / xx;
}

/// Multiplies every parameter, for a network whose curvature stands out of the rounding of second differences.
inline void scale_parameters(torch::nn::Module& module, double factor) {
  const at::NoGradGuard no_grad;
  for (Tensor& parameter : module.parameters()) parameter.mul_(factor);
}

/// The steps over which errors must fall as ε².
inline const std::vector<double>& test_epsilons() {
  static const std::vector<double> epsilons = {3e-3, 1e-2, 3e-2, 1e-1};
  return epsilons;
}

/// `base` with more keys.
inline Config with(Config base, std::initializer_list<std::pair<std::string, Config>> more) {
  for (const auto& [key, value] : more) base.set(key, value);
  return base;
}

}  // namespace gibbsite
