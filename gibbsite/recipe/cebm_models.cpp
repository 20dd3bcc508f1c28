#include <fmt/format.h>
#include <gibbsite/core/check.h>
#include <gibbsite/core/error.h>
#include <gibbsite/core/file.h>
#include <gibbsite/core/text.h>
#include <gibbsite/metric/classification.h>
#include <gibbsite/metric/linear_probe.h>
#include <gibbsite/model/conjugate_energy.h>
#include <gibbsite/posterior/posterior.h>
#include <gibbsite/recipe/cebm_models.h>
#include <gibbsite/recipe/parse.h>
#include <gibbsite/recipe/step_cost.h>
#include <gibbsite/recipe/train.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <filesystem>

namespace gibbsite {

namespace fs = std::filesystem;

namespace {

constexpr double kMinutes = 15;  // that CebmModel::steps are for
constexpr std::int64_t kSmokeRows = 64;

double cpu_seconds_now() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

std::string cpu_file(const std::string& run) { return run + "/cpu-seconds"; }

// That the training of a run has taken, in all calls.
double cpu_seconds_of(const std::string& run) {
  return fs::exists(cpu_file(run)) ? std::stod(read_file(cpu_file(run))) : 0;
}

// Adds this call's share when it ends, however it does.
class CpuTime {
 public:
  explicit CpuTime(std::string run) : run_(std::move(run)), start_(cpu_seconds_now()) {}
  ~CpuTime() {
    try {
      write_file(cpu_file(run_), fmt::format("{:.1f}\n", cpu_seconds_of(run_) + cpu_seconds_now() - start_));
    } catch (const std::exception&) {
      // The run was not begun, or the disk is full, which its checkpoints say better.
    }
  }
  CpuTime(const CpuTime&) = delete;
  CpuTime& operator=(const CpuTime&) = delete;

 private:
  std::string run_;
  double start_;
};

const std::vector<std::string>& small_networks() {
  static const std::vector<std::string> set = {"train.steps=4", "train.batch_size=8", "train.checkpoint_every=2",
                                               "data.train=80", "data.test=64"};
  return set;
}

}  // namespace

const std::vector<CebmModel>& cebm_models() {
  static const std::vector<std::string> energy = {"model.channels=[16,16,32,32]"};
  static const std::vector<std::string> chains = {"model.channels=[16,16,32,32]", "train.batch_size=64",
                                                  "objective.steps=20", "objective.magnitude=5e-3"};
  static const std::vector<std::string> coder = {"encoder.channels=[32,32,16,16]", "decoder.channels=[32,32,16,16]"};
  const auto with = [](std::vector<std::string> set, std::initializer_list<const char*> more) {
    set.insert(set.end(), more.begin(), more.end());
    return set;
  };
  static const std::vector<CebmModel> list = {
      {"vae", "cebm/vae-mnist", coder, 12000, ""},
      {"gmm-vae", "cebm/gmm-vae-mnist", coder, 12000, ""},
      {"bigan", "cebm/bigan-mnist", with(coder, {"score.filters=32"}), 6000, ""},
      {"igebm", "cebm/igebm-mnist", chains, 3000, "pcd"},
      {"cebm", "cebm/denoising-mnist", energy, 40000, "dsm"},
      {"cebm-pcd", "cebm/mnist", chains, 3000, "pcd"},
      {"gmm-cebm", "cebm/gmm-mnist", chains, 3000, "pcd"},
      {"cebm-mi", "cebm/mnist", with(chains, {"objective.information=1"}), 3000, "pcd"},
  };
  return list;
}

CebmStudy::CebmStudy(const ExperimentContext& context, const Ports& ports, const std::string& otherwise_data,
                     std::vector<std::string> slugs, std::string metric)
    : context_(context), ports_(ports), data_(otherwise_data), metric_(std::move(metric)), slugs_(std::move(slugs)) {
  std::vector<std::string> asked = context.set;
  only_ = take_method(asked, slugs_);
  options_ = take_options(asked, "cebm", options_);
  for (const std::string& assignment : asked) {
    if (assignment.rfind("data=", 0) == 0)
      data_ = assignment.substr(5);
    else
      set_.push_back(assignment);
  }
  set_.insert(set_.begin(), "data.name=" + data_);
  if (smoke()) set_.insert(set_.begin(), small_networks().begin(), small_networks().end());
  dataset_ =
      data_ == "cifar10" && load_published(data_, context.path).train->size() < 50000 ? data_ + "-partial" : data_;
}

std::vector<CebmModel> CebmStudy::missing() const {
  std::vector<CebmModel> chosen;
  for (const CebmModel& model : cebm_models())
    if (std::find(slugs_.begin(), slugs_.end(), model.slug) != slugs_.end() && (only_.empty() || only_ == model.slug) &&
        !context_.measured(model.slug, dataset_, metric_.c_str()))
      chosen.push_back(model);
  return chosen;
}

std::string CebmStudy::run_of(const CebmModel& model, const std::string& variant) const {
  const std::string folder =
      options_.models.empty() ? context_.directory : fmt::format("{}/seed-{}", options_.models, context_.seed);
  return fmt::format("{}/{}{}-{}", folder, model.slug, variant, dataset_);
}

CebmStudy::Trained CebmStudy::train(const CebmModel& model, double share, const std::string& variant,
                                    const std::vector<std::string>& set) const {
  if (ports_.interrupt->requested()) throw Interrupted("reproduce", fmt::format("stopped before {}", model.slug));
  Trained trained;
  trained.run = run_of(model, variant);
  TrainRequest request;
  request.recipe = model.recipe;
  if (context_.scale != "paper") {
    const double steps = std::ceil(share * model.steps * options_.minutes / kMinutes);
    request.set = model.set;
    request.set.push_back(fmt::format("train.steps={:.0f}", steps));
  }
  if (smoke() && !model.route.empty()) request.set.emplace_back("sample.steps=4");
  request.set.insert(request.set.end(), set.begin(), set.end());
  request.set.insert(request.set.end(), set_.begin(), set_.end());
  request.seed = static_cast<std::int64_t>(context_.seed);
  request.out = trained.run;
  request.path = context_.path;
  const std::int64_t wanted = requested_recipe(request).at_table("train").find("steps")->integer();
  std::vector<std::int64_t> done;
  if (fs::exists(trained.run)) done = CheckpointStore(trained.run).steps();
  if (done.empty() || done.back() < wanted) {
    ports_.logger->info(fmt::format("{}: training to step {}", model.slug, wanted));
    const CpuTime time(trained.run);
    train_or_resume(request, ports_);
  }
  trained.cpu_seconds = cpu_seconds_of(trained.run);
  trained.parts = load_run(RunDirectory::open(trained.run), {}, true, context_.path, *ports_.logger, &trained.step);
  trained.parts.freeze();
  return trained;
}

Row CebmStudy::row(const std::string& method, const char* metric, const Estimate& estimate, const char* unit) const {
  Row made;
  made.method = method;
  made.dataset = dataset_;
  made.metric = metric;
  made.value = estimate.value;
  made.standard_error = estimate.standard_error;
  made.unit = unit;
  return made;
}

Row CebmStudy::row(const CebmModel& model, const Trained& trained, const char* metric, const Estimate& estimate,
                   const char* unit) const {
  Row made = row(model.slug, metric, estimate, unit);
  made.settings["step"] = static_cast<double>(trained.step);
  if (!model.route.empty()) made.settings["route"] = model.route;
  return made;
}

Dataset CebmStudy::rows(const Dataset& split, std::int64_t count) const {
  return split.rows(0, std::min({split.size(), count, smoke() ? kSmokeRows : count}));
}

SampleJudge& CebmStudy::judge() {
  if (judge_) return *judge_;
  SampleJudgeSettings settings;
  settings.set = SampleJudgeSettings::of_scale(context_.scale);
  settings.set.push_back("data.name=" + data_);
  if (data_ == "cifar10") settings.set.emplace_back("data.pad=0");
  settings.classifier = options_.classifier;
  judge_ = std::make_unique<SampleJudge>(settings, context_, ports_);
  return *judge_;
}

void CebmStudy::say(const std::string& line) {
  outcome.summary.push_back(line);
  ports_.logger->info(line);
}

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
