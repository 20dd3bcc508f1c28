#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/nn/mlp.h>
#include <gibbsite/nn/operations.h>
#include <gibbsite/posterior/gaussian.h>
#include <torch/types.h>

#include <cmath>

namespace gibbsite {
namespace {

struct Moments {
  Tensor mean, deviation;  // [B, K] each
};

using MomentsOf = std::function<Moments(const Tensor& v)>;
using MakeMoments = std::function<MomentsOf(Parameters& parameters)>;

class Gaussian : public Posterior {
 public:
  Gaussian(Parameters parameters, MakeMoments make, std::int64_t latent_size)
      : parameters_(std::move(parameters)),
        make_(std::move(make)),
        moments_(make_(parameters_)),
        latent_size_(latent_size) {}
  Tensor sample(const Tensor& v, std::int64_t particles, Rng& rng) const override {
    return draw(moments_(v), v, particles, rng);
  }
  std::optional<DrawWithDivergence> sample_with_divergence(const Tensor& v, std::int64_t particles,
                                                           Rng& rng) const override {
    const Moments q = moments_(v);
    const Tensor divergence = (0.5 * (q.mean.square() + q.deviation.square() - 1) - q.deviation.log()).sum(-1);
    return DrawWithDivergence{draw(q, v, particles, rng), divergence};
  }
  Tensor log_prob(const Tensor& v, const Tensor& h) const override { return log_prob_of(moments_(v), h); }
  DrawWithLogProb sample_with_log_prob(const Tensor& v, std::int64_t particles, Rng& rng) const override {
    const Moments q = moments_(v);
    const Tensor h = draw(q, v, particles, rng);
    return {h, log_prob_of(q, h)};
  }
  bool has_log_prob() const override { return true; }
  bool has_divergence() const override { return true; }
  std::optional<PosteriorMoments> moments(const Tensor& v) const override {
    const Moments q = moments_(v);
    return PosteriorMoments{q.mean, q.deviation.square()};
  }
  std::unique_ptr<Posterior> with(const NamedTensors& parameters) const override {
    return std::make_unique<Gaussian>(Parameters(parameters), make_, latent_size_);
  }
  torch::nn::Module& module() override { return parameters_.module(); }
  std::int64_t latent_size() const override { return latent_size_; }

 private:
  Parameters parameters_;
  MakeMoments make_;
  MomentsOf moments_;
  std::int64_t latent_size_;

  Tensor log_prob_of(const Moments& q, const Tensor& h) const {
    const double constant = 0.5 * static_cast<double>(latent_size_) * std::log(2 * M_PI);
    return -0.5 * ((h - q.mean) / q.deviation).square().sum(-1) - q.deviation.log().sum(-1) - constant;
  }
  Tensor draw(const Moments& q, const Tensor& v, std::int64_t particles, Rng& rng) const {
    return q.mean + q.deviation * rng.normal_particles({particles, v.size(0), latent_size_}, v);
  }
};

constexpr std::int64_t kSide = 3, kStride = 2, kPadding = 1;

// Strided convolutions and one affine head each for the mean and the logarithm of the deviation.
struct ConvMoments {
  std::vector<Tensor> weights, biases;
  Tensor heads[2], head_biases[2];
  Activation activation;

  ConvMoments(Parameters& parameters, const ConvGaussianPosteriorOptions& options, const LatentContext& context)
      : activation(activation_from_name(options.activation)) {
    std::int64_t in = context.event[0], out = options.filters;
    for (std::int64_t i = 0; i < options.stages; ++i) {
      const std::string layer = fmt::format("encoder.conv{}", i + 1);
      weights.push_back(parameters.weight(layer + ".weight", {out, in, kSide, kSide}));
      biases.push_back(parameters.bias(layer + ".bias", out, in * kSide * kSide));
      in = out;
      out *= 2;
    }
    const std::int64_t flat = in * (context.event[1] >> options.stages) * (context.event[2] >> options.stages);
    for (int i = 0; i < 2; ++i) {
      const std::string layer = i == 0 ? "encoder.mean" : "encoder.log_deviation";
      heads[i] = parameters.weight(layer + ".weight", {context.latent_size, flat});
      head_biases[i] = parameters.bias(layer + ".bias", context.latent_size, flat);
    }
  }

  Moments operator()(const Tensor& v) const {
    Tensor x = v;
    for (std::size_t i = 0; i < weights.size(); ++i)
      x = act(activation, add_bias(conv(x, weights[i], kStride, kPadding), biases[i]));
    x = flattened(x);
    return {lin(x, heads[0], head_biases[0]), lin(x, heads[1], head_biases[1]).exp()};
  }
};

}  // namespace

std::unique_ptr<Posterior> make_gaussian_posterior(const GaussianPosteriorOptions& options,
                                                   const LatentContext& context) {
  require_flat_codes(context, "gaussian");
  const MlpShape shape = options.shape(event_size(context.event), 2 * context.latent_size);
  const auto make = [shape, size = context.latent_size,
                     exponential = options.deviation == "exp"](Parameters& parameters) -> MomentsOf {
    return [body = Mlp(parameters, "encoder", shape), size, exponential](const Tensor& v) {
      const Tensor both = body.forward(v.flatten(1)), raw = both.narrow(1, size, size).contiguous();
      return Moments{both.narrow(1, 0, size), exponential ? raw.exp() : activate(Activation::kSoftplus, raw)};
    };
  };
  return std::make_unique<Gaussian>(Parameters(context.init, context.dtype, context.device), make, context.latent_size);
}

std::unique_ptr<Posterior> make_conv_gaussian_posterior(const ConvGaussianPosteriorOptions& options,
                                                        const LatentContext& context) {
  require_flat_codes(context, "gaussian_conv");
  const std::int64_t factor = std::int64_t{1} << options.stages;
  if (context.event.size() != 3 || context.event[1] % factor != 0 || context.event[2] % factor != 0)
    throw RequestError("encoder", fmt::format("{} stages need images [C, H, W] with sides that divide by {}, not {}",
                                              options.stages, factor, format_shape(context.event)));
  const auto make = [options, context](Parameters& parameters) -> MomentsOf {
    return ConvMoments(parameters, options, context);
  };
  return std::make_unique<Gaussian>(Parameters(context.init, context.dtype, context.device), make, context.latent_size);
}

std::unique_ptr<Posterior> make_feature_gaussian_posterior(const FeatureNetOptions& options,
                                                           const LatentContext& context) {
  require_flat_codes(context, "gaussian_features");
  const auto make = [options, event = context.event, size = context.latent_size](Parameters& parameters) -> MomentsOf {
    return [body = FeatureNet(parameters, "encoder", options, event, 2 * size), size](const Tensor& v) {
      const Tensor both = body.forward(v);
      return Moments{both.narrow(1, 0, size), both.narrow(1, size, size).exp()};
    };
  };
  return std::make_unique<Gaussian>(Parameters(context.init, context.dtype, context.device), make, context.latent_size);
}

std::unique_ptr<Posterior> make_exact_posterior(const GaussianLatent& model) {
  const auto make = [&model](Parameters&) -> MomentsOf {
    return [&model](const Tensor& v) {
      const Tensor mean = model.latent_mean(v);
      return Moments{mean, torch::ones_like(mean.detach())};
    };
  };
  return std::make_unique<Gaussian>(Parameters(NamedTensors{}), make, model.latent_size());
}

}  // namespace gibbsite
