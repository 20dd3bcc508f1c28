#include <fmt/format.h>
#include <gibbsite/core/digest.h>
#include <gibbsite/data/npy.h>
#include <gibbsite/metric/classification.h>
#include <gibbsite/metric/frechet.h>
#include <gibbsite/recipe/sample.h>
#include <gibbsite/recipe/sample_judge.h>
#include <gibbsite/recipe/train.h>
#include <gibbsite/recipe/write.h>
#include <torch/types.h>

#include <algorithm>
#include <filesystem>
#include <utility>

namespace gibbsite {

namespace fs = std::filesystem;

namespace {

constexpr double kConfidentShare = 0.8;
constexpr std::int64_t kClasses = 8;

Row row_of(const Parts& parts, const std::string& method, const char* metric, const Estimate& estimate,
           const Tensor& x) {
  Row row;
  row.method = method;
  row.dataset = data_name(parts);
  row.metric = metric;
  row.value = estimate.value;
  row.standard_error = estimate.standard_error;
  row.unit = "1";
  row.settings["samples"] = static_cast<double>(x.size(0));
  return row;
}

// Names what samples of a run depend on beside its weights.
std::string sampling_digest(const Parts& parts) {
  std::string text, name;
  for (const char* table : {"sample", "sampler"})
    if (const Config* settings = parts.resolved.find(table)) text += write_toml(*settings) + '\n';
  for (const char byte : sha256(text).substr(0, 4)) name += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return name;
}

}  // namespace

std::vector<std::string> SampleJudgeSettings::of_scale(const std::string& scale) {
  if (scale == "smoke")
    return {"model.filters=2", "model.features=8",   "train.steps=4", "train.validate_every=2",
            "data.train=64",   "data.validation=16", "data.test=64",  "train.batch_size=16"};
  if (scale == "desk") return {"train.steps=1000", "train.ema_decay=0.99"};
  return {};
}

SampleJudge::SampleJudge(SampleJudgeSettings settings, const ExperimentContext& context, const Ports& ports)
    : settings_(std::move(settings)), context_(context), ports_(ports) {}

const Judge& SampleJudge::judge(const Parts& parts) {
  if (judge_) return *judge_;
  std::string run = settings_.classifier;
  if (run.empty()) {
    TrainRequest request;
    request.recipe = "fd/mnist-classifier";
    request.set = settings_.set;
    request.out = (fs::path(context_.directory).parent_path() / "classifier").string();
    request.path = context_.path;
    run = request.out;
    const std::int64_t steps = requested_recipe(request).at_table("train").find("steps")->integer();
    if (steps_done(run, *ports_.logger) < steps) train_or_resume(request, ports_);
  }
  Shape event = parts.transforms.event;
  if (settings_.channels) event.erase(event.begin());
  judge_ = std::make_unique<Judge>(run, event, "experiment.classifier", context_.path, *ports_.logger);
  return *judge_;
}

Tensor SampleJudge::features(const Parts& parts, const Tensor& x) {
  const Tensor images = x.to(torch::kFloat);
  return judge(parts).features(settings_.channels ? images.flatten(0, 1) : images);
}

std::int64_t SampleJudge::references(const Parts& parts) const {
  return std::min(settings_.reference, 9 * parts.data->splits.test.size() / 10);
}

const Tensor& SampleJudge::reference(const Parts& parts) {
  if (!reference_.defined()) reference_ = features(parts, parts.data->splits.test.rows(0, references(parts)).x);
  return reference_;
}

Row SampleJudge::distance(const Parts& parts, const std::string& method, const Tensor& x) {
  return row_of(parts, method, "frechet_classifier", frechet_distance(features(parts, x), reference(parts)), x);
}

JudgedDigits SampleJudge::digits(const Parts& parts, const std::string& method, const Tensor& x) {
  const DigitCriterion digits = digit_criterion(judge(parts).probabilities(x));
  JudgedDigits judged;
  judged.confident = row_of(parts, method, "confident_share", digits.confident, x);
  judged.classes = row_of(parts, method, "classes", {static_cast<double>(digits.classes)}, x);
  judged.met = digits.confident.value >= kConfidentShare && digits.classes >= kClasses;
  judged.verdict = fmt::format("confident {}, {} classes: digit criterion, {:.0f} % and {} classes, {}",
                               format_estimate(digits.confident.value, digits.confident.standard_error), digits.classes,
                               100 * kConfidentShare, kClasses, judged.met ? "met" : "not met");
  return judged;
}

Row SampleJudge::floor(const Parts& parts, std::int64_t n) {
  const Dataset& test = parts.data->splits.test;
  const std::int64_t count = std::min(n, test.size() - references(parts));
  if (count < 2)
    throw RequestError("data", fmt::format("{} test images are too few: real ones that samples are compared with and "
                                           "others beside them",
                                           test.size()));
  return distance(parts, "data", test.rows(test.size() - count, count).x.to(torch::kFloat));
}

Tensor SampleJudge::samples(const Parts& parts, const std::string& run, std::int64_t step, std::int64_t n) const {
  fs::create_directories(run + "/samples");
  const std::string sampling = sampling_digest(parts);
  std::vector<Tensor> chunks;
  for (std::int64_t first = 0; first < n; first += settings_.chains_per_file) {
    const std::int64_t count = std::min(settings_.chains_per_file, n - first);
    const std::string file =
        fmt::format("{}/samples/step-{}-{}-chains-{}-{}.npy", run, step, sampling, first, first + count);
    if (!fs::exists(file)) {
      const Drawn drawn = draw(parts, count, parts.rng("sample").at_row(first), ports_);
      write_npy(file, parts.transforms.pipeline.inverse(drawn.x).detach().cpu());
    }
    chunks.push_back(read_npy(file));
  }
  return torch::cat(chunks);
}

}  // namespace gibbsite
