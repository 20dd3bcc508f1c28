#include <gibbsite/core/error.h>
#include <gibbsite/nn/conditioned_mlp.h>
#include <gibbsite/nn/conv_encoder.h>
#include <gibbsite/posterior/implicit.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

/// `Body` has condition(v) and forward(e, condition).
template <class Body>
class Implicit : public Posterior {
 public:
  Implicit(Parameters parameters, Body body, std::int64_t noise, const LatentContext& context)
      : parameters_(std::move(parameters)),
        body_(std::move(body)),
        noise_(noise),
        latent_size_(context.latent_size),
        manifold_(context.manifold) {}
  Tensor sample(const Tensor& v, std::int64_t particles, Rng& rng) const override {
    const Tensor e = rng.normal_particles({particles, v.size(0), noise_}, v).flatten(0, 1);
    return codes_on(manifold_, body_.forward(e, body_.condition(v))).view({particles, v.size(0), latent_size_});
  }
  torch::nn::Module& module() override { return parameters_.module(); }
  std::int64_t latent_size() const override { return latent_size_; }

 private:
  Parameters parameters_;
  Body body_;
  std::int64_t noise_, latent_size_;
  std::shared_ptr<const Manifold> manifold_;
};

class Deterministic : public Posterior {
 public:
  Deterministic(Parameters parameters, std::function<Tensor(const Tensor&)> code, const LatentContext& context)
      : parameters_(std::move(parameters)),
        code_(std::move(code)),
        latent_size_(context.latent_size),
        manifold_(context.manifold) {}
  Tensor sample(const Tensor& v, std::int64_t particles, Rng&) const override {
    return codes_on(manifold_, code_(v)).unsqueeze(0).expand({particles, v.size(0), latent_size_});
  }
  torch::nn::Module& module() override { return parameters_.module(); }
  std::int64_t latent_size() const override { return latent_size_; }

 private:
  Parameters parameters_;
  std::function<Tensor(const Tensor&)> code_;
  std::int64_t latent_size_;
  std::shared_ptr<const Manifold> manifold_;
};

}  // namespace

std::unique_ptr<Posterior> make_implicit_posterior(const ImplicitPosteriorOptions& options,
                                                   const LatentContext& context) {
  if (options.hidden.empty()) throw RequestError("encoder.hidden", "an MLP needs at least one hidden layer");
  Parameters parameters(context.init, context.dtype, context.device);
  const MlpShape shape = options.shape(event_size(context.event) + options.noise, context.latent_size);
  if (options.noise == 0) {
    const auto code = [body = Mlp(parameters, "encoder", shape)](const Tensor& v) {
      return body.forward(v.flatten(1));
    };
    return std::make_unique<Deterministic>(parameters, code, context);
  }
  ConditionedMlp body(parameters, "encoder", shape, event_size(context.event));
  return std::make_unique<Implicit<ConditionedMlp>>(parameters, std::move(body), options.noise, context);
}

std::unique_ptr<Posterior> make_conv_implicit_posterior(const ConvImplicitPosteriorOptions& options,
                                                        const LatentContext& context) {
  Parameters parameters(context.init, context.dtype, context.device);
  ConvEncoderShape shape;
  shape.image = context.event;
  shape.vector = options.noise;
  shape.filters = options.filters;
  shape.stages = options.stages;
  shape.features = options.features;
  shape.output = context.latent_size;
  shape.activation = activation_from_name(options.activation);
  shape.activate_last = options.noise == 0;
  ConvEncoder body(parameters, "encoder", shape);
  if (options.noise == 0) {
    const auto code = [body](const Tensor& v) { return body.of_image(v); };
    return std::make_unique<Deterministic>(parameters, code, context);
  }
  return std::make_unique<Implicit<ConvEncoder>>(parameters, std::move(body), options.noise, context);
}

}  // namespace gibbsite
