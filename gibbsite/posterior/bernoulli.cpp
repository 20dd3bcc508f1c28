#include <gibbsite/nn/mlp.h>
#include <gibbsite/posterior/bernoulli.h>
#include <gibbsite/posterior/reparameterised.h>
#include <torch/nn/module.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

using Logits = std::function<Tensor(const Tensor& v)>;
using MakeLogits = std::function<Logits(Parameters& parameters)>;

class Bernoulli : public ReparameterisedPosterior {
 public:
  Bernoulli(const BernoulliDrawOptions& options, Parameters parameters, MakeLogits make, std::int64_t latent_size)
      : options_(options),
        parameters_(std::move(parameters)),
        make_(std::move(make)),
        logits_(make_(parameters_)),
        latent_size_(latent_size) {}
  Tensor law(const Tensor& v) const override { return logits_(v); }
  Tensor draw(const Tensor& logits, std::int64_t particles, Rng& rng) const override {
    const Tensor u = rng.uniform_particles({particles, logits.size(0), latent_size_}, logits);
    if (!draws_move()) return u.le(logits.detach().sigmoid()).to(logits.scalar_type());
    // The difference of two Gumbel variables is logistic. At u = 1 it is infinite, and h is 1.
    return (logits + u.logit()).div_(options_.temperature).sigmoid_();
  }
  Tensor log_density(const Tensor& logits, const Tensor& h) const override {
    return (h * logits - activate(Activation::kSoftplus, logits)).sum(-1);
  }
  Tensor density_gradient(const Tensor& logits, const Tensor& h) const override { return h - logits.sigmoid(); }
  bool draws_move() const override { return options_.draw == "relaxed"; }
  Tensor drawn_gradient(const Tensor& logits, const Tensor& h, const Tensor& slope) const override {
    return at::addcmul(density_gradient(logits, h), slope + logits, h - h * h, 1 / options_.temperature);
  }
  // Of the hard law, which relaxed draws approximate.
  std::optional<PosteriorMoments> moments(const Tensor& v) const override {
    const Tensor p = logits_(v).sigmoid();
    return PosteriorMoments{p, p * (1 - p)};
  }
  bool discrete() const override { return true; }
  std::unique_ptr<Posterior> with(const NamedTensors& parameters) const override {
    return std::make_unique<Bernoulli>(options_, Parameters(parameters), make_, latent_size_);
  }
  torch::nn::Module& module() override { return parameters_.module(); }
  std::int64_t latent_size() const override { return latent_size_; }

 private:
  BernoulliDrawOptions options_;
  Parameters parameters_;
  MakeLogits make_;
  Logits logits_;
  std::int64_t latent_size_;
};

}  // namespace

std::unique_ptr<Posterior> make_bernoulli_posterior(const BernoulliPosteriorOptions& options,
                                                    const LatentContext& context) {
  MlpShape shape;
  shape.input = event_size(context.event);
  shape.hidden = options.hidden;
  shape.output = context.latent_size;
  shape.activation = activation_from_name(options.activation);
  const auto make = [shape](Parameters& parameters) -> Logits {
    return [body = Mlp(parameters, "encoder", shape)](const Tensor& v) { return body.forward(v.flatten(1)); };
  };
  return std::make_unique<Bernoulli>(options, Parameters(context.init, context.dtype, context.device), make,
                                     context.latent_size);
}

std::unique_ptr<Posterior> make_exact_posterior(const Grbm& machine, const BernoulliDrawOptions& options) {
  const auto make = [&machine](Parameters&) -> Logits {
    return [&machine](const Tensor& v) { return machine.latent_logits(v); };
  };
  return std::make_unique<Bernoulli>(options, Parameters(NamedTensors{}), make, machine.latent_size());
}

}  // namespace gibbsite
