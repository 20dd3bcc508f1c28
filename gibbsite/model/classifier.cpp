#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/model/classifier.h>
#include <gibbsite/nn/operations.h>
#include <gibbsite/nn/parameters.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

constexpr int kStages = 3;

class ConvolutionalClassifier : public Classifier {
 public:
  ConvolutionalClassifier(const ClassifierOptions& options, const ModelContext& context)
      : event_(context.event),
        classes_(options.classes),
        activation_(activation_from_name(options.activation)),
        parameters_(context.init, context.dtype, context.device) {
    std::int64_t in = event_[0], height = event_[1], width = event_[2];
    for (int stage = 0; stage < kStages; ++stage) {
      const std::int64_t out = options.filters << stage;
      const std::string name = fmt::format("stage{}", stage + 1);
      weights_[stage][0] = parameters_.weight(name + ".first.weight", {out, in, 3, 3});
      biases_[stage][0] = parameters_.bias(name + ".first.bias", out, in * 9);
      weights_[stage][1] = parameters_.weight(name + ".second.weight", {out, out, 3, 3});
      biases_[stage][1] = parameters_.bias(name + ".second.bias", out, out * 9);
      in = out;
      height /= 2;
      width /= 2;
    }
    const std::int64_t flat = in * height * width;
    hidden_ = parameters_.weight("features.weight", {options.features, flat});
    hidden_bias_ = parameters_.bias("features.bias", options.features, flat);
    output_ = parameters_.weight("logits.weight", {options.classes, options.features});
    output_bias_ = parameters_.bias("logits.bias", options.classes, options.features);
  }

  template <class T>
  T features_of(const T& x) const {
    T h = x;
    for (int stage = 0; stage < kStages; ++stage) {
      for (int layer = 0; layer < 2; ++layer)
        h = act(activation_, add_bias(conv(h, weights_[stage][layer], 1, 1), biases_[stage][layer]));
      h = pool(h);
    }
    return act(activation_, lin(flattened(h), hidden_, hidden_bias_));
  }

  Tensor features(const Tensor& x) const override { return features_of(x); }
  Tensor logits(const Tensor& x) const override { return lin(features_of(x), output_, output_bias_); }
  std::int64_t classes() const override { return classes_; }
  Tensor energy(const Tensor& x) const override { return -at::logsumexp(logits(x), 1); }
  std::optional<Jet> energy(const Jet& x) const override {
    return -logsumexp(lin(features_of(x), output_, output_bias_), 1);
  }
  bool has_jet() const override { return true; }
  torch::nn::Module& module() override { return parameters_.module(); }
  std::vector<LayerNote> layers() const override {
    std::vector<LayerNote> notes;
    for (int stage = 1; stage <= kStages; ++stage)
      notes.push_back({fmt::format("stage{}", stage), activation_name(activation_)});
    notes.push_back({"features", activation_name(activation_)});
    return notes;
  }
  Shape event() const override { return event_; }

 private:
  Shape event_;
  std::int64_t classes_;
  Activation activation_;
  Parameters parameters_;
  Tensor weights_[kStages][2], biases_[kStages][2];
  Tensor hidden_, hidden_bias_, output_, output_bias_;
};

}  // namespace

std::unique_ptr<Energy> make_classifier(const ClassifierOptions& options, const ModelContext& context) {
  const std::int64_t smallest = std::int64_t{1} << kStages;
  if (context.event.size() != 3 || context.event[1] < smallest || context.event[2] < smallest)
    throw RequestError("model", fmt::format("a classifier needs images [C, H, W] of at least {}x{}, got {}", smallest,
                                            smallest, format_shape(context.event)));
  return std::make_unique<ConvolutionalClassifier>(options, context);
}

}  // namespace gibbsite
