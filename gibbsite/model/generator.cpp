#include <gibbsite/core/error.h>
#include <gibbsite/model/generator.h>
#include <torch/nn/module.h>
#include <torch/types.h>

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

std::unique_ptr<Generator> make_decoder_generator(Decoder& decoder) {
  if (!gaussian(decoder))
    throw RequestError(
        "decoder", "chains in noise space need an observation that is a smooth map of noise, and this law is discrete",
        "decoder.law = \"gaussian\"");
  return std::make_unique<DecoderGenerator>(decoder);
}

}  // namespace gibbsite
