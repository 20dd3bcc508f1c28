#include <fmt/format.h>
#include <gibbsite/core/digest.h>
#include <gibbsite/core/error.h>
#include <gibbsite/metric/inception.h>
#include <torch/script.h>

#include <vector>

namespace gibbsite {

namespace {

constexpr std::int64_t kChunk = 64;

}  // namespace

struct InceptionModule::State {
  InceptionOptions options;
  std::string sha256;
  mutable torch::jit::Module module;
};

InceptionModule::InceptionModule(const InceptionOptions& options) {
  auto state = std::make_shared<State>();
  state->options = options;
  state->sha256 = sha256_of_file(options.module);
  try {
    state->module = torch::jit::load(options.module, at::kCPU);
  } catch (const c10::Error&) {
    throw WorkError(options.module, "is no TorchScript module", "torch.jit.script or torch.jit.trace, then save");
  }
  state->module.eval();
  state_ = std::move(state);
}

InceptionOutput InceptionModule::operator()(const Tensor& images) const {
  const torch::NoGradGuard no_graph;
  const std::string& path = state_->options.module;
  if (images.dim() != 4 || (images.size(1) != 1 && images.size(1) != 3))
    throw WorkError("inception", "images of one or three channels are needed");
  std::vector<Tensor> features, logits;
  for (Tensor x : images.split(kChunk)) {
    x = x.to(at::kFloat).cpu().expand({-1, 3, -1, -1});
    const std::int64_t side = state_->options.resize;
    if (side > 0) x = at::upsample_bilinear2d(x, {side, side}, /*align_corners=*/false);
    torch::jit::IValue answer;
    try {
      answer = state_->module.forward({x});
    } catch (const std::exception&) {
      throw WorkError(path, fmt::format("fails on images [{}, 3, {}, {}]", x.size(0), x.size(2), x.size(3)),
                      "evaluate.inception.resize brings them to the size it wants");
    }
    const bool pair = answer.isTuple() && answer.toTupleRef().elements().size() == 2 &&
                      answer.toTupleRef().elements()[0].isTensor() && answer.toTupleRef().elements()[1].isTensor();
    if (!pair) throw WorkError(path, "answers something else than (features, logits)");
    for (std::size_t k : {0U, 1U}) {
      const Tensor part = answer.toTupleRef().elements()[k].toTensor();
      if (part.dim() != 2 || part.size(0) != x.size(0))
        throw WorkError(path, "answers something else than features [B, D] and logits [B, C]");
      (k == 0 ? features : logits).push_back(part.to(at::kDouble));
    }
  }
  return {at::cat(features), at::cat(logits)};
}

const std::string& InceptionModule::sha256() const { return state_->sha256; }

Estimate inception_score(const Tensor& logits, std::int64_t splits) {
  if (logits.dim() != 2 || logits.size(0) < 2 * splits)
    throw WorkError("inception_score", fmt::format("needs at least {} samples", 2 * splits));
  std::vector<Tensor> scores;
  const Tensor log_p = logits.to(at::kDouble).log_softmax(1);
  for (const Tensor& part : log_p.tensor_split(splits)) {
    const Tensor marginal = part.exp().mean(0, true).log();
    scores.push_back((part.exp() * (part - marginal)).sum(1).mean().exp());
  }
  return mean_estimate(at::stack(scores));
}

}  // namespace gibbsite
