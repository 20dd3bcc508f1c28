#include <fmt/format.h>
#include <gibbsite/core/error.h>
#include <gibbsite/model/classifier.h>
#include <gibbsite/recipe/judge.h>
#include <torch/types.h>

namespace gibbsite {
namespace {

constexpr std::int64_t kChunk = 256;

const Classifier* classifier_of(const Parts& parts) { return dynamic_cast<const Classifier*>(parts.energy.get()); }

template <class Function>
Tensor in_chunks(const Parts& parts, const Tensor& x, const Function& function) {
  const torch::NoGradGuard no_graph;
  const StoredTransforms& stored = parts.transforms;
  std::vector<Tensor> chunks;
  for (const Tensor& rows : x.split(kChunk)) {
    const Tensor known = stored.value_high > stored.value_low ? rows.clamp(stored.value_low, stored.value_high) : rows;
    chunks.push_back(function(stored.pipeline.forward(known).to(parts.like().options())));
  }
  return torch::cat(chunks);
}

}  // namespace

Judge::Judge(const std::string& run, const Shape& event, const std::string& origin, const DataPath& path,
             Logger& logger)
    : parts_(std::make_shared<const Parts>(load_run(RunDirectory::open(run), {}, false, path, logger))) {
  if (!classifier_of(*parts_)) throw RequestError(origin, fmt::format("{} is no classifier", run));
  if (parts_->transforms.event != event) throw RequestError(origin, "it was trained on points of another size");
}

Tensor Judge::probabilities(const Tensor& x) const {
  const Classifier& classifier = *classifier_of(*parts_);
  return in_chunks(*parts_, x, [&](const Tensor& y) { return classifier.logits(y).softmax(1); });
}

Tensor Judge::features(const Tensor& x) const {
  const Classifier& classifier = *classifier_of(*parts_);
  return in_chunks(*parts_, x, [&](const Tensor& y) { return classifier.features(y); });
}

}  // namespace gibbsite
