// VaGES for a latent energy of one's own. Only joint() is written here; its marginal has no formula, and denoising score
// matching trains it all the same. Exits with 1 unless the loss falls.
#include <gibbsite/nn/parameters.h>
#include <gibbsite/objective/denoising.h>
#include <gibbsite/objective/posterior_fit.h>
#include <gibbsite/posterior/gaussian.h>
#include <gibbsite/posterior/variational_score.h>
#include <gibbsite/train/optimizer.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstdio>

using namespace gibbsite;

namespace {

// A curve in the plane, blurred: E(v, h) = ½ ‖v - A tanh(a h + b)‖²/σ² + ½ h², σ = 0.4.
class Curve : public LatentEnergy {
 public:
  explicit Curve(const Rng& init) : parameters_(init, at::kFloat, at::kCPU) {
    inner_ = parameters_.weight("inner", {16, 1});
    offset_ = parameters_.bias("offset", 16, 1);
    outer_ = parameters_.weight("outer", {2, 16});
  }
  using LatentEnergy::joint;
  Tensor joint(const Tensor& v, const Tensor& h) const override {
    const Tensor curve = at::linear(at::linear(h, inner_, offset_).tanh(), outer_);
    return 0.5 * ((v - curve) / 0.4).square().sum(-1) + 0.5 * h.square().sum(-1);
  }
  torch::nn::Module& module() { return parameters_.module(); }

 private:
  Parameters parameters_;
  Tensor inner_, offset_, outer_;
};

}  // namespace

int main() {
  const Rng rng(1, "example");
  Curve model(rng.stream("model"));
  LatentContext context;
  context.event = {2};
  context.latent_size = 1;
  context.init = rng.stream("encoder");
  GaussianPosteriorOptions network;
  network.hidden = {32};
  const auto encoder = make_gaussian_posterior(network, context);

  // The estimator turns every objective of a score into one for this energy; the encoder has an objective of its own.
  const auto score = make_variational_score({}, model, *encoder);
  ObjectiveParts parts;
  parts.variational_score = score.get();
  parts.latent.joint = &model;
  parts.latent.encoder = encoder.get();
  DenoisingScoreMatchingOptions denoising;
  PosteriorFitOptions fit;
  fit.noise = denoising.sigma = 0.3;
  const auto outer = make_denoising_score_matching(denoising, parts);
  const auto inner = make_posterior_kl(fit, parts);

  const auto trained = [](torch::nn::Module& module) {
    NamedTensors named;
    for (const auto& item : module.named_parameters()) named.emplace_back(item.key(), item.value());
    return named;
  };
  const NamedTensors of_model = trained(model.module()), of_encoder = trained(encoder->module());
  const double rate = 3e-3;
  const auto model_optimizer = make_optimizer({}, of_model), encoder_optimizer = make_optimizer({}, of_encoder);
  const auto update = [&](const Objective& objective, const Batch& batch, const NamedTensors& named,
                          Optimizer& optimizer, Rng draws) {
    std::vector<Tensor> leaves;
    for (const auto& [name, tensor] : named) leaves.push_back(tensor);
    const Loss loss = objective(batch, draws);
    optimizer.step(torch::autograd::grad({loss.backward}, leaves, {}, {}, false, true), rate);
    return loss.log[0].second.item<double>();
  };

  double first = 0, last = 0;
  const std::uint64_t steps = 600, window = 100;
  for (std::uint64_t step = 0; step < steps; ++step) {
    Rng draws = rng.stream("batch").at_step(step);
    const Tensor t = draws.normal({100, 1}, at::kFloat);
    Batch batch;
    batch.x = at::cat({t.cos(), t.sin()}, 1);
    for (std::uint64_t k = 0; k < 3; ++k)
      update(*inner, batch, of_encoder, *encoder_optimizer, rng.stream("inner").at_step(3 * step + k));
    const double loss = update(*outer, batch, of_model, *model_optimizer, rng.stream("outer").at_step(step));
    if (step < window) first += loss / static_cast<double>(window);
    if (step >= steps - window) last += loss / static_cast<double>(window);
  }
  std::printf("denoising loss: %.3f in the first %d steps, %.3f in the last\n", first, int(window), last);
  return last < 0.95 * first ? 0 : 1;
}
