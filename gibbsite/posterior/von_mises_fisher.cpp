#include <gibbsite/core/error.h>
#include <gibbsite/manifold/sphere.h>
#include <gibbsite/manifold/von_mises_fisher.h>
#include <gibbsite/posterior/von_mises_fisher.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

struct Law {
  Tensor mean;   // [B, K]
  Tensor kappa;  // [B]
};

class VonMisesFisher : public Posterior {
 public:
  VonMisesFisher(Parameters parameters, const MlpShape& shape, std::shared_ptr<const Manifold> sphere)
      : parameters_(std::move(parameters)),
        shape_(shape),
        sphere_(std::move(sphere)),
        body_(parameters_, "encoder", shape) {}
  Tensor sample(const Tensor& v, std::int64_t particles, Rng& rng) const override {
    return draw(law(v), particles, rng);
  }
  std::optional<DrawWithDivergence> sample_with_divergence(const Tensor& v, std::int64_t particles,
                                                           Rng& rng) const override {
    const Law q = law(v);
    return DrawWithDivergence{draw(q, particles, rng), vmf_kl_uniform(q.kappa, latent_size())};
  }
  Tensor log_prob(const Tensor& v, const Tensor& h) const override { return log_prob_of(law(v), h); }
  DrawWithLogProb sample_with_log_prob(const Tensor& v, std::int64_t particles, Rng& rng) const override {
    const Law q = law(v);
    const Tensor h = draw(q, particles, rng);
    return {h, log_prob_of(q, h)};
  }
  bool has_log_prob() const override { return true; }
  bool has_divergence() const override { return true; }
  std::unique_ptr<Posterior> with(const NamedTensors& parameters) const override {
    return std::make_unique<VonMisesFisher>(Parameters(parameters), shape_, sphere_);
  }
  torch::nn::Module& module() override { return parameters_.module(); }
  std::int64_t latent_size() const override { return sphere_->ambient(); }

 private:
  Parameters parameters_;
  MlpShape shape_;
  std::shared_ptr<const Manifold> sphere_;
  Mlp body_;

  Law law(const Tensor& v) const {
    const Tensor both = body_.forward(v.flatten(1));
    return {codes_on(sphere_, both.narrow(1, 0, latent_size())),
            1 + activate(Activation::kSoftplus, both.select(1, latent_size()).contiguous())};
  }
  Tensor log_prob_of(const Law& q, const Tensor& h) const {
    return q.kappa * (h * q.mean).sum(-1) + vmf_log_normaliser(q.kappa, latent_size());
  }
  Tensor draw(const Law& q, std::int64_t particles, Rng& rng) const {
    std::vector<Tensor> h;
    for (std::int64_t l = 0; l < particles; ++l) {
      Rng own = rng.fork();
      h.push_back(vmf_sample(q.mean, q.kappa, own));
    }
    return torch::stack(h);
  }
};

}  // namespace

std::unique_ptr<Posterior> make_von_mises_fisher_posterior(const VonMisesFisherPosteriorOptions& options,
                                                           const LatentContext& context) {
  if (!context.manifold || !is_sphere(*context.manifold))
    throw RequestError("von_mises_fisher", "its codes are points of a sphere, those of this recipe are not",
                       "latent.space = \"sphere\"");
  Parameters parameters(context.init, context.dtype, context.device);
  const MlpShape shape = options.shape(event_size(context.event), context.latent_size + 1);
  return std::make_unique<VonMisesFisher>(parameters, shape, context.manifold);
}

}  // namespace gibbsite
