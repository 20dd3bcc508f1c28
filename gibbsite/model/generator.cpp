#include <gibbsite/core/error.h>
#include <gibbsite/model/generator.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>

namespace gibbsite {
namespace {

class DecoderGenerator : public Generator {
 public:
  explicit DecoderGenerator(const Decoder& decoder) : decoder_(decoder) {}
  std::vector<Shape> groups() const override { return {{decoder_.latent_size()}}; }
  Shape event() const override { return decoder_.event(); }
  Generated generate(const std::vector<Tensor>& noise) const override {
    const ObservationMoments moments = *decoder_.moments(noise.at(0));
    return {noise, {}, moments.mean, moments.deviation};
  }
  std::vector<Tensor> noise_of(const std::vector<Tensor>& z) const override { return z; }

 private:
  const Decoder& decoder_;
};

bool gaussian(Decoder& decoder) {
  const torch::NoGradGuard no_graph;
  const std::vector<Tensor> parameters = decoder.module().parameters();
  const at::TensorOptions options = parameters.empty() ? at::TensorOptions() : parameters[0].options();
  return decoder.moments(torch::zeros({1, decoder.latent_size()}, options.requires_grad(false))).has_value();
}

}  // namespace

std::vector<Tensor> prior_noise(const Generator& generator, std::int64_t n, double temperature, const Tensor& like,
                                Rng& rng) {
  std::vector<Tensor> noise;
  for (Shape sizes : generator.groups()) {
    sizes.insert(sizes.begin(), n);
    noise.push_back(rng.normal(sizes, like) * temperature);
  }
  return noise;
}

Tensor generated_means(const Generator& generator, std::int64_t n, double temperature, const Tensor& like,
                       const Rng& rng) {
  constexpr std::int64_t kChunk = 64;
  const torch::NoGradGuard no_graph;
  std::vector<Tensor> means;
  for (std::int64_t first = 0; first < n; first += kChunk) {
    Rng own = rng.at_row(rng.first_row() + first);
    means.push_back(
        generator.generate(prior_noise(generator, std::min(kChunk, n - first), temperature, like, own)).mean);
  }
  return torch::cat(means);
}

std::unique_ptr<Generator> make_decoder_generator(Decoder& decoder) {
  if (!gaussian(decoder))
    throw RequestError(
        "decoder", "chains in noise space need an observation that is a smooth map of noise, and this law is discrete",
        "decoder.law = \"gaussian\"");
  return std::make_unique<DecoderGenerator>(decoder);
}

}  // namespace gibbsite
