#include <gibbsite/nn/mlp.h>
#include <gibbsite/posterior/bernoulli.h>
#include <torch/nn/module.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

// The difference of two Gumbel variables is logistic. In place, and finite for u in [0, 1].
Tensor logistic(Tensor u) {
  const double tiny = 1e-20;
  const Tensor rest = (1 - u).add_(tiny);
  return u.add_(tiny).div_(rest).log_();
}

using Logits = std::function<Tensor(const Tensor& v)>;
using MakeLogits = std::function<Logits(Parameters& parameters)>;

class Bernoulli : public Posterior {
 public:
  Bernoulli(const BernoulliDrawOptions& options, Parameters parameters, MakeLogits make, std::int64_t latent_size)
      : options_(options),
        parameters_(std::move(parameters)),
        make_(std::move(make)),
        logits_(make_(parameters_)),
        latent_size_(latent_size) {}
  Tensor sample(const Tensor& v, std::int64_t particles, Rng& rng) const override {
    const Tensor logits = logits_(v);
    if (options_.draw == "hard") {
      const Tensor u = rng.uniform_particles({particles, v.size(0), latent_size_}, v);
      return u.le(logits.detach().sigmoid()).to(v.scalar_type());
    }
    Tensor h = logistic(rng.uniform_particles({particles, v.size(0), latent_size_}, v));
    return h.add_(logits).div_(options_.temperature).sigmoid_();
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
