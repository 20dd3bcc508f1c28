#include <gibbsite/nn/mlp.h>
#include <gibbsite/posterior/gaussian.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

class Gaussian : public Posterior {
 public:
  Gaussian(Parameters parameters, Mlp body, std::int64_t latent_size)
      : parameters_(std::move(parameters)), body_(std::move(body)), latent_size_(latent_size) {}
  Tensor sample(const Tensor& v, std::int64_t particles, Rng& rng) const override {
    const auto [mean, deviation] = moments(v);
    return mean + deviation * rng.normal_particles({particles, v.size(0), latent_size_}, v);
  }
  Tensor log_prob(const Tensor& v, const Tensor& h) const override {
    const auto [mean, deviation] = moments(v);
    const double constant = 0.5 * static_cast<double>(latent_size_) * std::log(2 * M_PI);
    return -0.5 * ((h - mean) / deviation).square().sum(-1) - deviation.log().sum(-1) - constant;
  }
  bool has_log_prob() const override { return true; }
  torch::nn::Module& module() override { return parameters_.module(); }
  std::int64_t latent_size() const override { return latent_size_; }

 private:
  Parameters parameters_;
  Mlp body_;
  std::int64_t latent_size_;

  std::pair<Tensor, Tensor> moments(const Tensor& v) const {
    const Tensor both = body_.forward(v.flatten(1));
    const Tensor deviation = activate(Activation::kSoftplus, both.narrow(1, latent_size_, latent_size_).contiguous());
    return {both.narrow(1, 0, latent_size_), deviation};
  }
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
  Mlp body(parameters, "encoder", shape);
  return std::make_unique<Gaussian>(parameters, std::move(body), context.latent_size);
}

}  // namespace gibbsite
