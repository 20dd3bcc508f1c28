#include <gibbsite/nn/mlp.h>
#include <gibbsite/posterior/bernoulli.h>
#include <torch/nn/module.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

// Finite for u in [0, 1].
Tensor gumbel(const Tensor& u) {
  const double tiny = 1e-20;
  return -(-(u + tiny).log() + tiny).log();
}

class Bernoulli : public Posterior {
 public:
  Bernoulli(const BernoulliDrawOptions& options, Parameters parameters, std::function<Tensor(const Tensor&)> logits,
            std::int64_t latent_size)
      : options_(options), parameters_(std::move(parameters)), logits_(std::move(logits)), latent_size_(latent_size) {}
  Tensor sample(const Tensor& v, std::int64_t particles, Rng& rng) const override {
    const Tensor logits = logits_(v);
    if (options_.draw == "hard") {
      const Tensor u = rng.uniform_particles({particles, v.size(0), latent_size_}, v);
      return u.le(logits.detach().sigmoid()).to(v.scalar_type());
    }
    const Tensor noise = gumbel(rng.uniform_particles({particles, v.size(0), 2, latent_size_}, v));
    return ((logits + (noise.select(2, 0) - noise.select(2, 1))) / options_.temperature).sigmoid();
  }
  Tensor log_prob(const Tensor& v, const Tensor& h) const override {
    const Tensor logits = logits_(v);
    return (h * logits).sum(-1) - activate(Activation::kSoftplus, logits).sum(-1);
  }
  bool has_log_prob() const override { return true; }
  // Of the hard law, which relaxed draws approximate.
  std::optional<PosteriorMoments> moments(const Tensor& v) const override {
    const Tensor p = logits_(v).sigmoid();
    return PosteriorMoments{p, p * (1 - p)};
  }
  bool discrete() const override { return true; }
  torch::nn::Module& module() override { return parameters_.module(); }
  std::int64_t latent_size() const override { return latent_size_; }

 private:
  BernoulliDrawOptions options_;
  Parameters parameters_;
  std::function<Tensor(const Tensor&)> logits_;
  std::int64_t latent_size_;
};

}  // namespace

std::unique_ptr<Posterior> make_bernoulli_posterior(const BernoulliPosteriorOptions& options,
                                                    const LatentContext& context) {
  Parameters parameters(context.init, context.dtype, context.device);
  MlpShape shape;
  shape.input = event_size(context.event);
  shape.hidden = options.hidden;
  shape.output = context.latent_size;
  shape.activation = activation_from_name(options.activation);
  const auto logits = [body = Mlp(parameters, "encoder", shape)](const Tensor& v) {
    return body.forward(v.flatten(1));
  };
  return std::make_unique<Bernoulli>(options, parameters, logits, context.latent_size);
}

std::unique_ptr<Posterior> make_exact_posterior(const Grbm& machine, const BernoulliDrawOptions& options) {
  const auto logits = [&machine](const Tensor& v) { return machine.latent_logits(v); };
  return std::make_unique<Bernoulli>(options, Parameters(Rng(0, "none"), at::kFloat, at::kCPU), logits,
                                     machine.latent_size());
}

}  // namespace gibbsite
