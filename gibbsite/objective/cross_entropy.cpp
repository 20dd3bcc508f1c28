#include <gibbsite/core/error.h>
#include <gibbsite/model/classifier.h>
#include <gibbsite/objective/cross_entropy.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

class CrossEntropy : public Objective {
 public:
  CrossEntropy(const CrossEntropyOptions& options, const Classifier& classifier)
      : options_(options), classifier_(classifier) {}

  Loss operator()(const Batch& batch, Rng& rng) const override {
    if (!batch.label.defined()) throw WorkError("cross_entropy", "the data have no labels");
    const Tensor logits = classifier_.logits(options_.shift > 0 ? shifted(batch.x, rng) : batch.x);
    const Tensor log_probability = at::log_softmax(logits, 1);
    const Tensor right = log_probability.gather(1, batch.label.view({-1, 1})).squeeze(1);
    const double smooth = options_.label_smoothing;
    const Tensor loss = -((1 - smooth) * right + smooth * log_probability.mean(1)).mean();
    const Tensor accuracy = (logits.argmax(1) == batch.label).to(logits.dtype()).mean();
    return {loss, {{"loss", loss.detach()}, {"accuracy", accuracy.detach()}}};
  }

 private:
  CrossEntropyOptions options_;
  const Classifier& classifier_;

  Tensor shifted(const Tensor& x, Rng& rng) const {
    const std::int64_t s = options_.shift, rows = x.size(0), height = x.size(2), width = x.size(3);
    const Tensor padded = at::constant_pad_nd(x, {s, s, s, s});
    const Tensor offset = rng.integers({rows, 2}, 2 * s + 1).to(x.device());
    const auto lines = [&](std::int64_t axis, std::int64_t n) {
      return offset.select(1, axis).view({rows, 1}) + torch::arange(n, offset.options()).view({1, n});
    };
    const Tensor row = torch::arange(rows, offset.options()).view({rows, 1, 1, 1});
    const Tensor channel = torch::arange(x.size(1), offset.options()).view({1, -1, 1, 1});
    return padded.index(
        {row, channel, lines(0, height).view({rows, 1, height, 1}), lines(1, width).view({rows, 1, 1, width})});
  }
};

}  // namespace

std::unique_ptr<Objective> make_cross_entropy(const CrossEntropyOptions& options, const ObjectiveParts& parts) {
  const auto* classifier = dynamic_cast<const Classifier*>(parts.energy);
  if (!classifier) throw RequestError("objective", "cross_entropy needs a classifier", "model.name = \"classifier\"");
  return std::make_unique<CrossEntropy>(options, *classifier);
}

}  // namespace gibbsite
