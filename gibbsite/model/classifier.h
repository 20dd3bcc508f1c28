// A convolutional classifier. As an energy it is -log Σ_c exp(logit_c), so that every part that takes an energy takes it.
#pragma once

#include <gibbsite/calculus/activation.h>
#include <gibbsite/core/options.h>
#include <gibbsite/model/energy.h>

namespace gibbsite {

class Classifier : public Energy {
 public:
  /// [B, C, H, W] -> [B, classes].
  virtual Tensor logits(const Tensor& x) const = 0;
  /// Penultimate activations, [B, features].
  virtual Tensor features(const Tensor& x) const = 0;
  virtual std::int64_t classes() const = 0;
};

struct ClassifierOptions {
  std::int64_t classes = 10;
  std::int64_t filters = 16;
  std::int64_t features = 128;
  std::string activation = "silu";
  void declare(OptionVisitor& o) {
    o.option("classes", classes, "number of classes", at_least(2));
    o.option("filters", filters, "filters of the first of three stages, doubled by each", at_least(1));
    o.option("features", features, "width of the penultimate layer", at_least(1));
    o.option("activation", activation, "nonlinearity of every layer", activation_names());
  }
};

/// Three stages of 3x3 convolution and 2x2 average pool, then two linear layers. Throws RequestError unless events are images.
std::unique_ptr<Energy> make_classifier(const ClassifierOptions& options, const ModelContext& context);

}  // namespace gibbsite
