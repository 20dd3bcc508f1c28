#include <gibbsite/nn/mlp.h>
#include <gibbsite/posterior/gaussian.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

struct Moments {
  Tensor mean, deviation;  // [B, K] each
};

class Gaussian : public Posterior {
 public:
  Gaussian(Parameters parameters, std::function<Moments(const Tensor&)> moments, std::int64_t latent_size)
      : parameters_(std::move(parameters)), moments_(std::move(moments)), latent_size_(latent_size) {}
  Tensor sample(const Tensor& v, std::int64_t particles, Rng& rng) const override {
    const Moments q = moments_(v);
    return q.mean + q.deviation * rng.normal_particles({particles, v.size(0), latent_size_}, v);
  }
  Tensor log_prob(const Tensor& v, const Tensor& h) const override {
    const Moments q = moments_(v);
    const double constant = 0.5 * static_cast<double>(latent_size_) * std::log(2 * M_PI);
    return -0.5 * ((h - q.mean) / q.deviation).square().sum(-1) - q.deviation.log().sum(-1) - constant;
  }
  bool has_log_prob() const override { return true; }
  std::optional<PosteriorMoments> moments(const Tensor& v) const override {
    const Moments q = moments_(v);
    return PosteriorMoments{q.mean, q.deviation.square()};
  }
  torch::nn::Module& module() override { return parameters_.module(); }
  std::int64_t latent_size() const override { return latent_size_; }

 private:
  Parameters parameters_;
  std::function<Moments(const Tensor&)> moments_;
  std::int64_t latent_size_;
};

}  // namespace

std::unique_ptr<Posterior> make_gaussian_posterior(const GaussianPosteriorOptions& options,
                                                   const LatentContext& context) {
  Parameters parameters(context.init, context.dtype, context.device);
  MlpShape shape;
  shape.input = event_size(context.event);
  shape.hidden = options.hidden;
  shape.output = 2 * context.latent_size;
  shape.activation = activation_from_name(options.activation);
  const auto moments = [body = Mlp(parameters, "encoder", shape), size = context.latent_size,
                        exponential = options.deviation == "exp"](const Tensor& v) {
    const Tensor both = body.forward(v.flatten(1)), raw = both.narrow(1, size, size).contiguous();
    return Moments{both.narrow(1, 0, size), exponential ? raw.exp() : activate(Activation::kSoftplus, raw)};
  };
  return std::make_unique<Gaussian>(parameters, moments, context.latent_size);
}

std::unique_ptr<Posterior> make_exact_posterior(const GaussianLatent& model) {
  const auto moments = [&model](const Tensor& v) {
    const Tensor mean = model.latent_mean(v);
    return Moments{mean, torch::ones_like(mean.detach())};
  };
  return std::make_unique<Gaussian>(Parameters(Rng(0, "none"), at::kFloat, at::kCPU), moments, model.latent_size());
}

}  // namespace gibbsite
