// Latent-variable energies whose score and posterior are known, with parameters of some size.
#pragma once

#include <gibbsite/model/gaussian_latent.h>
#include <gibbsite/model/grbm.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

namespace gibbsite {

inline ModelContext latent_model_context(const Shape& event) {
  ModelContext context;
  context.event = event;
  context.init = Rng(3, "init");
  context.dtype = at::kDouble;
  return context;
}

inline void set_parameter(torch::nn::Module& module, const std::string& name, const Tensor& value) {
  const at::NoGradGuard no_grad;
  module.named_parameters()[name].copy_(value);
}

inline std::unique_ptr<Grbm> test_grbm(std::int64_t visible = 3, std::int64_t latent = 4) {
  GrbmOptions options;
  options.latent_size = latent;
  options.initial = "normal";
  options.initial_deviation = 0.8;
  auto grbm = std::make_unique<Grbm>(options, latent_model_context({visible}));
  set_parameter(grbm->module(), "log_deviation", torch::linspace(-0.2, 0.3, visible, at::kDouble));
  return grbm;
}

inline std::unique_ptr<GaussianLatent> test_gaussian_latent(std::int64_t visible = 3, std::int64_t latent = 2) {
  GaussianLatentOptions options;
  options.latent_size = latent;
  options.initial_deviation = 0.4;
  auto model = std::make_unique<GaussianLatent>(options, latent_model_context({visible}));
  set_parameter(model->module(), "log_deviation", torch::full({}, -0.3, at::kDouble));
  return model;
}

/// Gradients behind one another.
inline Tensor flat(const std::vector<Tensor>& gradients) {
  std::vector<Tensor> rows;
  rows.reserve(gradients.size());
  for (const Tensor& g : gradients) rows.push_back(g.flatten());
  return at::cat(rows);
}

/// The same with zeros for parameters that have none.
inline Tensor flat(std::vector<Tensor> gradients, const std::vector<Tensor>& parameters) {
  for (std::size_t i = 0; i < gradients.size(); ++i)
    if (!gradients[i].defined()) gradients[i] = torch::zeros_like(parameters[i]);
  return flat(gradients);
}

/// How far the mean of the rows of `draws` lies from `truth`, at most, in its standard errors; entries that never vary must be
/// the truth.
inline double worst_deviation(const std::vector<Tensor>& draws, const Tensor& truth) {
  const Tensor all = at::stack(draws), error = all.std(0) / std::sqrt(static_cast<double>(draws.size()));
  const Tensor away = (all.mean(0) - truth).abs();
  return (away / error.clamp_min(1e-12)).max().item<double>();
}

}  // namespace gibbsite
