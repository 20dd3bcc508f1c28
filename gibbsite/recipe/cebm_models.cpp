#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/metric/classification.h>
#include <gibbsite/metric/linear_probe.h>
#include <gibbsite/model/conjugate_energy.h>
#include <gibbsite/posterior/posterior.h>
#include <gibbsite/recipe/cebm_models.h>
#include <torch/types.h>

#include <algorithm>

namespace gibbsite {

namespace {

const std::vector<std::string>& small_networks() {
  static const std::vector<std::string> set = {"train.steps=4", "train.batch_size=8", "train.checkpoint_every=2",
                                               "data.train=80", "data.test=64"};
  return set;
}

}  // namespace

const std::vector<CebmModel>& cebm_models() {
  static const std::vector<std::string> energy = {"model.channels=[16,16,32,32]"};
  static const std::vector<std::string> chains = {
      "model.channels=[16,16,32,32]", "train.batch_size=64",     "train.ema_decay=0.99",        "objective.steps=20",
      "objective.magnitude=5e-3",     "objective.capacity=1000", "optimizer.learning_rate=5e-4"};
  static const std::vector<std::string> coder = {"encoder.channels=[32,32,16,16]", "decoder.channels=[32,32,16,16]"};
  const auto with = [](std::vector<std::string> set, std::initializer_list<const char*> more) {
    set.insert(set.end(), more.begin(), more.end());
    return set;
  };
  static const std::vector<std::string> conjugate = with(chains, {"model.hidden=[]"});
  static const std::vector<CebmModel> list = {
      {"vae", "cebm/vae-mnist", coder, 12000, ""},
      {"gmm-vae", "cebm/gmm-vae-mnist", coder, 12000, ""},
      {"bigan", "cebm/bigan-mnist", with(coder, {"score.filters=32"}), 6000, ""},
      {"igebm", "cebm/igebm-mnist", chains, 3000, "pcd"},
      {"cebm", "cebm/denoising-mnist", energy, 28000, "dsm"},
      {"cebm-ssm", "cebm/sliced-mnist", energy, 14000, "ssm"},
      {"cebm-pcd", "cebm/mnist", conjugate, 3000, "pcd"},
      {"gmm-cebm", "cebm/gmm-mnist", conjugate, 3000, "pcd"},
      {"cebm-mi", "cebm/mnist", conjugate, 3000, "pcd", {}, "", {"objective.information=1"}},
  };
  return list;
}

const CebmModel& cebm_model(const std::string& slug) {
  const std::vector<CebmModel>& all = cebm_models();
  const auto found = std::find_if(all.begin(), all.end(), [&](const CebmModel& model) { return model.slug == slug; });
  if (found == all.end()) throw RequestError("method", fmt::format("'{}' is no conjugate energy or baseline", slug));
  return *found;
}

void require_image_classes(const std::string& data, const DataPath& path) {
  const Published found = load_published(data, path);
  const Tensor label = (found.train ? found.train : found.test)->label;
  if (!label.defined() || label.min().item<std::int64_t>() < 0 || label.max().item<std::int64_t>() != kImageClasses - 1)
    throw RequestError("--set data", fmt::format("'{}' has no classes 0 to {}, which representations are to tell", data,
                                                 kImageClasses - 1));
}

CebmStudy::CebmStudy(const ExperimentContext& context, const Ports& ports, const std::string& otherwise_data,
                     std::vector<std::string> slugs, std::string metric)
    : ModelStudy({"cebm", cebm_models(), 15, small_networks()}, context, ports, otherwise_data, std::move(slugs),
                 std::move(metric)) {}

Tensor representation(const Parts& parts, const Tensor& x, const Ports& ports) {
  const torch::NoGradGuard no_grad;
  const auto* conjugate = dynamic_cast<const ConjugateEnergy*>(parts.energy.get());
  const auto* featured = dynamic_cast<const FeatureEnergy*>(parts.energy.get());
  if (!conjugate && !featured && !parts.encoder)
    throw RequestError("representation", fmt::format("'{}' has none", parts.model_name));
  constexpr std::int64_t kChunk = 500, kDraws = 64;
  std::vector<Tensor> chunks;
  for (std::int64_t first = 0; first < x.size(0); first += kChunk) {
    if (ports.interrupt->requested()) throw Interrupted("representation", "stopped; nothing was written");
    const Tensor rows = x.narrow(0, first, std::min(kChunk, x.size(0) - first)).to(parts.dtype);
    const Tensor v = parts.transforms.pipeline.forward(rows).to(parts.like().options());
    Rng rng = parts.rng("representation").at_row(first);
    chunks.push_back(conjugate  ? conjugate->representation(v)
                     : featured ? featured->features(v)
                                : posterior_moments(*parts.encoder, v, kDraws, rng).mean);
  }
  const Tensor codes = torch::cat(chunks).to(torch::kDouble).cpu();
  check_finite("representation", "mean", codes);
  return codes;
}

LabelledCodes labelled_codes(const Parts& parts, const Dataset& split, const Ports& ports) {
  return {representation(parts, split.x, ports), split.label};
}

Estimate few_label_accuracy(const LabelledCodes& train, const LabelledCodes& test, std::int64_t labels) {
  constexpr std::uint64_t kDraws = 10;
  std::vector<double> values;
  for (std::uint64_t draw = 0; draw < kDraws; ++draw) {
    const Tensor rows = draw_labelled_rows(train.label, kImageClasses, labels, Rng(draw, "few-label"));
    const LinearProbe probe =
        fit_linear_probe(train.code.index_select(0, rows), train.label.index_select(0, rows), kImageClasses);
    values.push_back(accuracy(probe.scores(test.code), test.label).value);
  }
  return mean_estimate(torch::tensor(values, torch::kDouble));
}

}  // namespace gibbsite
